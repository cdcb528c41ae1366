;;; together.el --- The Emacs of two editors at work on one file  -*- lexical-binding: t; -*-

;; Environment as of drive.el, and READY and ALONE: files that there are when the
;; other editor is ready, and when it has ended.

;;; Code:

(require 'drive)

(defun together-submit ()
  "Submit pi.jl, and see it to its end; return the job's id."
  (let ((before (plist-get (drive-job) :submission)))
    (drive-call #'juliahub-submit-script)
    (drive-await "it runs"
      (and (not (equal before (plist-get (drive-job) :submission))) (equal (drive-state) "running")))
    (drive-await "it has completed" (equal (drive-state) "completed")))
  (drive-await "it is shown once"
    (= 1 (cl-count-if (lambda (d) (string-match-p "JuliaHub job.*completed" (flymake-diagnostic-text d)))
                      (drive-diagnostics 'flymake-note))))
  (drive-call #'juliahub-download-results)
  (drive-await "its table is shown" (string-suffix-p "pi.csv" (or buffer-file-name "")))
  (drive-open "pi.jl")
  (plist-get (drive-job) :job))

(defun together ()
  "Submit a file that another editor has open, too, and once more when that is gone."
  (drive-open "pi.jl")
  (juliahub-mode 1)
  (drive-await "the server is attached" juliahub--attached)
  (drive-await "the other editor is ready" (file-exists-p (getenv "READY")))
  (drive-print "JOB %s" (together-submit))
  (drive-await "the other editor is gone" (file-exists-p (getenv "ALONE")))
  (goto-char (point-max))
  (insert "\n")
  (save-buffer)
  (together-submit)
  (drive-check "there are two jobs" (= 2 (length (juliahub-job-list))))
  (drive-print "PASS")
  (kill-emacs 0))

(provide 'together)
;;; together.el ends here
