;;; drive.el --- A day with juliahub.el in a real Emacs  -*- lexical-binding: t; -*-

;; Usage: emacs --batch -Q -L .. -l drive.el -f FUNCTION
;; Environment: SERVER (the binary), WORKSPACE (the examples and slow.jl), and a
;; JuliaHub that is the emulator.  Prints "ok WHAT" for every step, "RESULT PATH"
;; for what was downloaded, and "PASS" at the end.

;;; Code:

(require 'cl-lib)
(require 'juliahub)

(define-derived-mode julia-mode prog-mode "Julia" ; the real one is no part of Emacs
  (setq-local comment-start "#"))
(add-to-list 'auto-mode-alist '("\\.jl\\'" . julia-mode))

(setq juliahub-program (list (getenv "SERVER"))
      browse-url-browser-function (lambda (url &rest _) (call-process "xdg-open" nil nil nil url))
      auto-revert-interval 0.2
      auto-revert-use-notify nil ; its events are input, of which batch mode has none
      eglot-autoshutdown nil
      create-lockfiles nil
      make-backup-files nil
      project-find-functions (list (lambda (_) (cons 'transient (drive-path "")))))

(defvar drive-said nil "All messages, newest first.")
(advice-add 'message :after
            (lambda (format &rest args)
              (when (and (stringp format) (not (string-prefix-p "drive" format)))
                (push (apply #'format-message format args) drive-said))))

(defun drive-print (format &rest args)
  "Print a line, FORMAT with ARGS."
  (princ (concat (apply #'format format args) "\n")))

(defun drive-fail (format &rest args)
  "End it all: FORMAT with ARGS went wrong."
  (apply #'drive-print (concat "FAIL " format) args)
  (drive-print "the last messages: %S" (take 15 drive-said))
  (drive-print "the account: %S" juliahub-account)
  (drive-print "the jobs: %S" (juliahub-job-list))
  (drive-print "here: %S, %S" (current-buffer)
               (mapcar #'flymake-diagnostic-text (and flymake-mode (flymake-diagnostics))))
  (kill-emacs 1))

(defun drive-path (name)
  "Return the path of NAME in the workspace."
  (expand-file-name name (file-name-as-directory (getenv "WORKSPACE"))))

(defun drive-until (what condition)
  "Wait until CONDITION holds, which WHAT describes; return its value."
  (let ((late (+ (float-time) (string-to-number (or (getenv "PATIENCE") "90")))) value)
    (while (not (setq value (funcall condition)))
      (when (> (float-time) late) (drive-fail "waited in vain for: %s" what))
      (accept-process-output nil 0.03)
      (set-buffer (window-buffer))) ; as the command loop does
    (drive-print "ok %s" what)
    value))

(defmacro drive-await (what &rest body)
  "Wait until BODY holds, which WHAT describes; return its value."
  (declare (indent 1))
  `(drive-until ,what (lambda () ,@body)))

(defun drive-check (what condition)
  "Go on if CONDITION holds, which WHAT describes."
  (if condition (drive-print "ok %s" what) (drive-fail "%s" what)))

(defun drive-open (name)
  "Visit NAME of the workspace in a window, as `find-file' does."
  (switch-to-buffer (find-file-noselect (drive-path name))))

(defun drive-eglot ()
  "Do what \\[eglot] does in this buffer."
  (apply #'eglot--connect (eglot--guess-contact))
  (drive-await "Eglot manages the buffer" (eglot-managed-p)))

(defun drive-said (regexp)
  "Tell whether a message matched REGEXP."
  (cl-find-if (lambda (message) (string-match-p regexp message)) drive-said))

(defun drive-diagnostics (type)
  "Return the diagnostics of this buffer of Flymake's category TYPE."
  (unless flymake-mode (flymake-mode 1))
  (flymake-start)
  (cl-remove-if-not (lambda (d) (eq type (flymake--lookup-type-property
                                          (flymake-diagnostic-type d) 'flymake-category)))
                    (flymake-diagnostics)))

(defun drive-job ()
  "Return the newest job of this buffer."
  (juliahub--file-job))

(defun drive-state ()
  "Return the state of the newest job of this buffer."
  (plist-get (drive-job) :state))

(defun drive-mode-line ()
  "Return what the mode line says of JuliaHub.
`format-mode-line' has nothing to say where there is no terminal."
  (substring-no-properties (cadr (cadr (juliahub-mode-line)))))

(defun drive-call (command &optional answer)
  "Call COMMAND as a person does, who gives ANSWER to what is asked."
  (cl-letf (((symbol-function 'y-or-n-p) (lambda (&rest _) t))
            ((symbol-function 'completing-read)
             (lambda (_ table &rest _) (or answer (car (all-completions "" table))))))
    (call-interactively command)))

(defun drive-key (key)
  "Type KEY in this buffer."
  (drive-call (or (key-binding (kbd key)) (drive-fail "%s is bound to nothing" key))))

(defun drive-submitted (name)
  "Wait until the submission of NAME that was just asked for has a job."
  (drive-await (format "%s is a job" name)
    (and (juliahub--live-p (drive-job)) (juliahub--submitted-p (drive-job)))))

(defun drive-jobs (name)
  "Go to the row of the newest job of the file NAME in the list of jobs."
  (juliahub-jobs)
  (goto-char (point-min))
  (while (not (let ((job (gethash (tabulated-list-get-id) juliahub--jobs)))
                (and job (equal (plist-get job :file) (drive-path name)))))
    (when (eobp) (drive-fail "%s is not in the list of jobs:\n%s" name (buffer-string)))
    (forward-line)))


;;; The steps

(defun drive-sign-in ()
  "Sign in on the emulator's page."
  (drive-call #'juliahub-login)
  (drive-await "signed in" (drive-said "^JuliaHub: signed in to http"))
  (drive-await "the account is known" (juliahub--true (plist-get juliahub-account :signedIn)))
  (drive-call #'juliahub-status)
  (drive-await "the status says so" (drive-said "^JuliaHub: Signed in to 127.*, 0 running")))

(defun drive-script ()
  "Submit a script, watch it to its end, read its log and get its results."
  (drive-open "pi.jl")
  (goto-char (point-max))
  (insert "println(\"typed a moment ago\")\n")
  (drive-call #'juliahub-submit-script)
  (drive-submitted "pi.jl")
  (drive-await "it runs, says the mode line" (string-match-p "JuliaHub:running" (drive-mode-line)))
  (drive-call #'juliahub-show-log)
  (drive-await "the log is shown" (derived-mode-p 'juliahub-log-mode))
  (drive-await "the log follows the job"
    (save-excursion (goto-char (point-min)) (search-forward "π is about 3.14" nil t)))
  (drive-await "the job ran what the buffer showed"
    (save-excursion (goto-char (point-min)) (search-forward "typed a moment ago" nil t)))
  (drive-open "pi.jl")
  (drive-await "it has completed, says the mode line"
    (string-match-p "JuliaHub:completed" (drive-mode-line)))
  (drive-await "the diagnostic says so, too"
    (cl-find-if (lambda (d) (string-match-p "completed" (flymake-diagnostic-text d)))
                (drive-diagnostics 'flymake-note)))
  (drive-call #'juliahub-download-results)
  (drive-await "its table is shown" (string-suffix-p "pi.csv" (or buffer-file-name "")))
  (drive-print "RESULT %s" buffer-file-name))

(defun drive-failure ()
  "See a job fail at its line."
  (drive-open "fails.jl")
  (drive-call #'juliahub-submit-script)
  (let ((problem (car (drive-await "the failure is shown" (drive-diagnostics 'flymake-error)))))
    (goto-char (flymake-diagnostic-beg problem))
    (drive-check "it is at the line that failed"
                 (string-match-p "the job fails on this line"
                                 (buffer-substring (line-beginning-position) (line-end-position))))
    (drive-check "it says why" (string-match-p "no readings to take the mean of"
                                               (flymake-diagnostic-text problem)))
    (let ((line (line-number-at-pos)))
      (drive-await "the job knows the line" (plist-get (drive-job) :failedAt))
      (goto-char (point-min))
      (drive-jobs "fails.jl")
      (drive-key "RET")
      (drive-check "RET in the list of jobs goes to that line"
                   (and (equal buffer-file-name (drive-path "fails.jl")) (= line (line-number-at-pos)))))))

(defun drive-appbundle ()
  "Submit a project as an appbundle."
  (drive-open "project/report.jl")
  (drive-call #'juliahub-preview-bundle)
  (drive-await "the bundle's preview is shown"
    (and (not (equal buffer-file-name (drive-path "project/report.jl")))
         (string-match-p "uccle\\.csv\\|[Ff]iles" (buffer-string))))
  (drive-open "project/report.jl")
  (drive-call #'juliahub-submit-appbundle)
  (drive-await "the appbundle has completed" (equal (drive-state) "completed"))
  (drive-check "it was an appbundle" (equal (plist-get (drive-job) :kind) "appbundle"))
  (drive-jobs "project/report.jl")
  (drive-key "d")
  (drive-await "its report is shown" (string-suffix-p "report.txt" (or buffer-file-name "")))
  (drive-print "RESULT %s" buffer-file-name)
  (drive-jobs "project/report.jl")
  (drive-check "what has ended cannot be stopped, nor is another job stopped for it"
               (condition-case nil (progn (drive-key "k") nil) (user-error t)))
  (drive-key "o"))

(defun drive-cancel ()
  "Extend a job, and stop it."
  (drive-open "slow.jl")
  (goto-char (point-max))
  (insert "# the job runs what the buffer shows\n")
  (drive-call #'juliahub-submit-script)
  (drive-await "the slow job runs" (equal (drive-state) "running"))
  (drive-jobs "slow.jl")
  (let ((hours (plist-get (gethash (tabulated-list-get-id) juliahub--jobs) :limitHours))
        (current-prefix-arg 2))
    (drive-key "+")
    (drive-await "it may run two hours longer"
      (= (+ hours 2) (plist-get (gethash (tabulated-list-get-id) juliahub--jobs) :limitHours))))
  (drive-key "k")
  (drive-open "slow.jl")
  (drive-await "it was stopped" (equal (drive-state) "stopped"))
  (set-buffer-modified-p nil))

(defun drive-region ()
  "Submit a region."
  (let ((buffer (find-file-noselect (drive-path "lines.jl"))))
    (switch-to-buffer buffer)
    (insert "error(\"not this line\")\n\nprintln(\"this line\")\nerror(\"and this one\")\n")
    (save-buffer)
    (goto-char (point-min))
    (forward-line 2)
    (set-mark (point))
    (goto-char (point-max))
    (let ((transient-mark-mode t))
      (activate-mark)
      (drive-call #'juliahub-submit-region))
    (let ((problem (car (drive-await "the region's failure is shown" (drive-diagnostics 'flymake-error)))))
      (drive-check "at its own line" (= 4 (line-number-at-pos (flymake-diagnostic-beg problem)))))
    (drive-await "the end of it is known" (juliahub--true (plist-get (drive-job) :settled)))
    (drive-call #'juliahub-dismiss)
    (drive-await "dismissed, it shows nothing more"
      (and (not (drive-diagnostics 'flymake-error)) (not (drive-job))))))

(defun drive-own-files ()
  "See what the server says of JuliaHub's own files."
  (drive-open "project/.juliabundleignore")
  (drive-check "it has its own mode" (derived-mode-p 'juliahub-ignore-mode))
  (drive-await "Eglot manages it" (eglot-managed-p))
  (goto-char (point-min))
  (search-forward "scratch")
  (drive-await "a pattern's hover tells what it excludes"
    (let ((hover (jsonrpc-request (eglot-current-server) :textDocument/hover
                                  (eglot--TextDocumentPositionParams))))
      (string-match-p "Keeps out" (format "%S" hover))))
  (drive-open "JuliaHub.toml")
  (insert "[profile.small]\nncpus = 2\n")
  (save-buffer)
  (drive-await "a wrong key is shown" (append (drive-diagnostics 'flymake-warning)
                                              (drive-diagnostics 'flymake-error)))
  (erase-buffer)
  (save-buffer)
  (delete-file buffer-file-name)
  (kill-buffer))

(defun drive-menu ()
  "Use what Eglot itself offers: the code actions."
  (drive-open "pi.jl")
  (let ((titles (mapcar (lambda (action) (plist-get action :title))
                        (eglot-code-actions (point) (point)))))
    (drive-check "the code actions are there"
                 (cl-subsetp '("Submit as script" "Download results" "Run job again") titles :test #'equal))))

(defun drive-leave-running ()
  "Leave while a job runs."
  (drive-open "pi.jl")
  (drive-call #'juliahub-run-again)
  (drive-submitted "pi.jl, once more,")
  (drive-print "JOB %s" (plist-get (drive-job) :job)))

(defun drive-day ()
  "A day's work, in buffers that Eglot manages with this server."
  (global-juliahub-mode 1)
  (drive-open "pi.jl")
  (drive-eglot)
  (drive-await "nobody is signed in, says the mode line" (string-match-p "signed out" (drive-mode-line)))
  (drive-check "by JuliaHub's server" (cl-typep (eglot-current-server) 'juliahub-server))
  (drive-sign-in)
  (drive-script)
  (drive-failure)
  (drive-appbundle)
  (drive-cancel)
  (drive-region)
  (drive-own-files)
  (drive-menu)
  (drive-check "there is one server" (null (cdr (juliahub--live-servers))))
  (drive-leave-running)
  (drive-print "PASS day %s" emacs-version)
  (kill-emacs 0))

(defun drive-next-day ()
  "Find the job that was left running, in an Emacs started anew, without Eglot."
  (drive-open "pi.jl")
  (juliahub-mode 1)
  (let ((job (drive-await "the job from before is known" (drive-job))))
    (drive-check "it is that one" (equal (getenv "JOB") (plist-get job :job))))
  (drive-await "it completes" (equal (drive-state) "completed"))
  (drive-await "a diagnostic says so"
    (cl-find-if (lambda (d) (string-match-p (getenv "JOB") (flymake-diagnostic-text d)))
                (drive-diagnostics 'flymake-note)))
  (drive-call #'juliahub-download-results)
  (drive-await "its table is shown" (string-suffix-p "pi.csv" (or buffer-file-name "")))
  (drive-print "RESULT %s" buffer-file-name)
  (juliahub-jobs)
  (drive-key "g")
  (drive-await "JuliaHub's own list came" (drive-said "JuliaHub: [0-9]+ jobs"))
  (drive-open "pi.jl")
  (drive-call #'juliahub-logout)
  (drive-await "signed out" (drive-said "signed out"))
  (drive-await "the account is, too" (equal "signed-out" (plist-get juliahub-account :state)))
  (drive-print "PASS next day")
  (kill-emacs 0))

(defun drive-beside ()
  "Work beside another server that Eglot has for Julia files: OTHER."
  (add-to-list 'eglot-server-programs (cons 'julia-mode (list (getenv "OTHER") "other-server")))
  (global-juliahub-mode 1)
  (drive-open "fails.jl")
  (drive-eglot)
  (drive-check "Eglot has the other server" (not (cl-typep (eglot-current-server) 'juliahub-server)))
  (drive-await "JuliaHub's is beside it" juliahub--attached)
  (drive-await "the other one's diagnostic is shown"
    (cl-find-if (lambda (d) (string-match-p "the other server" (flymake-diagnostic-text d)))
                (drive-diagnostics 'flymake-warning)))
  (goto-char (point-min))
  (insert "# one line more than on the disk, with 𝛑\n")
  (drive-call #'juliahub-submit-script)
  (let ((problem (car (drive-await "the failure is shown" (drive-diagnostics 'flymake-error)))))
    (drive-check "at its line in the text that was sent"
                 (string-match-p "the job fails on this line"
                                 (save-excursion (goto-char (flymake-diagnostic-beg problem)) (thing-at-point 'line)))))
  (drive-check "the other one's is there still"
               (cl-find-if (lambda (d) (string-match-p "the other server" (flymake-diagnostic-text d)))
                           (drive-diagnostics 'flymake-warning)))
  (drive-own-files)
  (drive-check "the other server was asked for nothing of ours" (not (drive-said "other server was asked")))
  ;; The server dies; Eglot starts it again, and the buffer follows.
  (drive-open "fails.jl")
  (let ((old juliahub--attached))
    (juliahub-restart)
    (drive-await "another server took its place"
      (and juliahub--attached (not (eq old juliahub--attached)) (jsonrpc-running-p juliahub--attached)))
    (drive-await "the failure is shown again" (drive-diagnostics 'flymake-error)))
  (set-buffer-modified-p nil)
  (juliahub-mode -1)
  (drive-check "without the mode it is not" (not (drive-diagnostics 'flymake-error)))
  (drive-print "PASS beside")
  (kill-emacs 0))

(defun drive-plain ()
  "Open a file with Eglot alone, without anything of juliahub.el."
  (setq eglot-server-programs (list (cons 'julia-mode (list (getenv "SERVER")))))
  (drive-open "pi.jl")
  (drive-eglot)
  (drive-await "the code actions are there"
    (cl-find "Submit as script" (eglot-code-actions (point) (point))
             :key (lambda (action) (plist-get action :title)) :test #'equal))
  (eglot-shutdown (eglot-current-server))
  (drive-print "PASS plain")
  (kill-emacs 0))

(provide 'drive)
;;; drive.el ends here
