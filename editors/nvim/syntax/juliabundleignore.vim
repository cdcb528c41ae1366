" Which files of a project stay out of its appbundle.
if exists("b:current_syntax")
  finish
endif

syn match juliabundleignoreComment "^#.*$"
syn match juliabundleignoreNegation "^!"
syn match juliabundleignoreEscape "\\."
syn match juliabundleignoreWildcard "[*?]"
syn match juliabundleignoreSet "\[[^]]*\]"
syn match juliabundleignoreDirectory "/"

hi def link juliabundleignoreComment Comment
hi def link juliabundleignoreNegation Operator
hi def link juliabundleignoreEscape SpecialChar
hi def link juliabundleignoreWildcard Special
hi def link juliabundleignoreSet Special
hi def link juliabundleignoreDirectory Delimiter

let b:current_syntax = "juliabundleignore"
