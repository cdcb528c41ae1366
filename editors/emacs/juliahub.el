;;; juliahub.el --- Run Julia files and projects on JuliaHub  -*- lexical-binding: t; -*-

;; Copyright (c) 2026 The juliahub-lsp authors

;; Author: The juliahub-lsp authors
;; Version: 0.1.0
;; Package-Requires: ((emacs "29.1"))
;; Keywords: languages, processes, tools
;; SPDX-License-Identifier: MIT

;; This file is not part of GNU Emacs.

;;; Commentary:

;; Submits Julia files and projects to JuliaHub, and follows their jobs.  All
;; the work is done by the language server juliahub-lsp, to which Eglot, a part
;; of Emacs, connects.  Have that program on your PATH and add to your init file:
;;
;;     (require 'juliahub)
;;     (global-juliahub-mode 1)
;;
;; Julia files then have the menu JuliaHub, and the mode line shows their newest
;; job.  `juliahub-jobs' lists all jobs.  The commands are in the keymap
;; `juliahub-command-map', which you put on a key of your choice:
;;
;;     (keymap-set juliahub-mode-map "C-c h" juliahub-command-map)
;;
;; Where Eglot has no other server for Julia files, "M-x eglot" starts this one.
;; Where it has one, such as LanguageServer.jl, that stays: Eglot has one server
;; for each buffer, and `juliahub-mode' sees to it that JuliaHub's works beside it.

;;; Code:

(require 'cl-lib)
(require 'easymenu)
(require 'eglot)
(require 'flymake)
(require 'iso8601)
(require 'project)
(require 'subr-x)
(require 'tabulated-list)

(defvar auto-revert-tail-pos)
(defvar auto-revert-verbose)
(declare-function auto-revert-tail-mode "autorevert")

(defgroup juliahub nil
  "Run Julia files and projects on JuliaHub."
  :group 'tools
  :group 'eglot)

(defcustom juliahub-program '("juliahub-lsp")
  "The language server: its program, and arguments if there are any."
  :type '(repeat string))

(defcustom juliahub-save-before-submit nil
  "Whether to save the buffer before it is submitted.
A job runs what the buffer shows in any case."
  :type 'boolean)

(defcustom juliahub-jobs-limit 50
  "How many jobs `juliahub-jobs-refresh' asks JuliaHub for."
  :type 'natnum)

(defface juliahub-running '((t :inherit warning))
  "Face of jobs that are under way.")

(defface juliahub-completed '((t :inherit success))
  "Face of jobs that have completed.")

(defface juliahub-failed '((t :inherit error))
  "Face of jobs that have failed.")


;;; The server

(defvar juliahub-mode)

(defvar-local juliahub--attached nil
  "The server that is told of this buffer by us and not by Eglot.")

(defclass juliahub-server (eglot-lsp-server) ()
  :documentation "The language server of JuliaHub.")

(defun juliahub-contact (&rest _)
  "Return the server's class and command line, for `eglot-server-programs'."
  (cons 'juliahub-server juliahub-program))

;;;###autoload
(define-derived-mode juliahub-toml-mode conf-toml-mode "JuliaHub"
  "Major mode for JuliaHub.toml, which says how a project runs on JuliaHub.")

;;;###autoload
(define-derived-mode juliahub-ignore-mode conf-unix-mode "JuliaHub-Ignore"
  "Major mode for .juliabundleignore, which says what stays out of bundles.")

;;;###autoload
(add-to-list 'auto-mode-alist '("/JuliaHub\\.toml\\'" . juliahub-toml-mode))
;;;###autoload
(add-to-list 'auto-mode-alist '("/\\.juliabundleignore\\'" . juliahub-ignore-mode))

;; At the end of the list: what somebody else says of Julia files comes first.
;; The files that no other server knows are first in an entry of their own, so
;; that they never make this one manage Julia files, too.
(dolist (entry '(((juliahub-toml-mode juliahub-ignore-mode) . juliahub-contact)
                 ((julia-mode julia-ts-mode juliahub-toml-mode juliahub-ignore-mode)
                  . juliahub-contact)))
  (add-to-list 'eglot-server-programs entry t))

(cl-defmethod eglot-client-capabilities ((_server juliahub-server))
  "Add that the messages juliahub/… are understood."
  (plist-put (cl-call-next-method) :experimental '(:juliahub t)))

(defvar juliahub--servers nil "All servers that were started.")

(defun juliahub--live-servers ()
  "Return the servers that run."
  (setq juliahub--servers (cl-remove-if-not #'jsonrpc-running-p juliahub--servers)))

(defun juliahub--root (server)
  "Return the directory of SERVER's project, with a slash."
  (file-name-as-directory
   (expand-file-name (project-root (eglot--project server)))))

(defvar juliahub--starting nil "When a server was started that has not connected yet.")

(defun juliahub--starting-p ()
  "Tell whether a server is being started."
  (and juliahub--starting (< (float-time) (+ juliahub--starting eglot-connect-timeout))))

(defun juliahub--start ()
  "Start a server for the project of this buffer, without waiting for it.
Eglot has it for JuliaHub's own files; other buffers are attached to it."
  (unless (juliahub--starting-p)
    (unless (executable-find (car juliahub-program))
      (user-error "There is no %s on your PATH: see `juliahub-program'" (car juliahub-program)))
    (let ((eglot-sync-connect nil)
          (inhibit-message t))
      (eglot '(juliahub-toml-mode juliahub-ignore-mode)
             (or (project-current) (cons 'transient (expand-file-name default-directory)))
             'juliahub-server juliahub-program
             ;; Before Eglot 1.13 a server had one language.
             (if (fboundp 'eglot--language-ids) '("toml" "juliabundleignore") "toml")))
    (setq juliahub--starting (float-time))))

(defun juliahub--connect ()
  "Start a server for the project of this buffer, and return it."
  (let ((late (+ (float-time) eglot-connect-timeout)))
    (while (not (juliahub--near))
      (when (> (float-time) late)
        (error "The language server %s did not start" (car juliahub-program)))
      (juliahub--start)
      (accept-process-output nil 0.05)))
  (juliahub--near))

(defun juliahub--near ()
  "Return a running server of the project that this buffer belongs to, or nil."
  (cl-find-if (lambda (server)
                (string-prefix-p (juliahub--root server) (expand-file-name default-directory)))
              (juliahub--live-servers)))

(defun juliahub--managing ()
  "Return the server if it is JuliaHub's that Eglot has for this buffer."
  (let ((server (and (eglot-managed-p) (eglot-current-server))))
    (and (cl-typep server 'juliahub-server) server)))

(defun juliahub--known-p ()
  "Return the server if one knows this buffer."
  (or (juliahub--managing)
      (and juliahub--attached (jsonrpc-running-p juliahub--attached) juliahub--attached)))

(defun juliahub--server ()
  "Return the server for this buffer; where there is none, start one."
  (cond ((juliahub--known-p))
        ((and juliahub-mode (juliahub--ours-p))
         (juliahub--attach (or (juliahub--near) (juliahub--connect))))
        ((juliahub--near))
        ((car (juliahub--live-servers)))
        ((juliahub--connect))))

(defun juliahub--connected (server)
  "Take SERVER, to which Eglot has connected, into use."
  (when (cl-typep server 'juliahub-server)
    (push server juliahub--servers)
    (setq juliahub--starting nil)
    (jsonrpc-async-request
     server :juliahub/jobs (make-hash-table :size 0)
     :success-fn (lambda (answer) (mapc #'juliahub--put (reverse (plist-get answer :jobs))))
     :error-fn #'ignore)
    ;; Buffers that waited for it follow, and those of one that has ended.
    (dolist (buffer (buffer-list))
      (with-current-buffer buffer
        (when (and juliahub-mode (not (juliahub--known-p))) (juliahub--attach-soon))))))

(add-hook 'eglot-connect-hook #'juliahub--connected)

(defun juliahub--flat (error)
  "Return the sentence of ERROR, a JSON-RPC error."
  (or (plist-get error :message) "no answer"))

(defun juliahub--execute (command argument &optional then)
  "Have the server run COMMAND with ARGUMENT, a plist; call THEN with the answer.
Nothing waits: what goes wrong is shown in the echo area."
  (let ((server (juliahub--server)))
    (juliahub--flush)
    (jsonrpc-async-request
     server :workspace/executeCommand
     (list :command (concat "juliahub." command) :arguments (vector argument))
     :timeout nil ; it may wait for a person who signs in
     :success-fn (or then #'ignore)
     :error-fn (lambda (error) (message "JuliaHub: %s" (juliahub--flat error))))
    nil))

(cl-defmethod eglot-handle-notification
  ((_server juliahub-server) (_method (eql window/showMessage)) &key type message)
  "Show MESSAGE, an error if TYPE is 1."
  (message "JuliaHub: %s" (propertize message 'face (if (eql type 1) 'error 'default))))

(cl-defmethod eglot-handle-request
  ((_server juliahub-server) (_method (eql window/showMessageRequest))
   &key message actions &allow-other-keys)
  "Ask MESSAGE with ACTIONS; the first one is what happens without an answer."
  (let* ((titles (mapcar (lambda (action) (plist-get action :title)) actions))
         (answer (condition-case nil
                     (completing-read (format "JuliaHub: %s " message) titles nil t nil nil (car titles))
                   (quit nil))))
    (if (member answer titles) (list :title answer) nil)))


;;; Buffers that the server knows beside Eglot's own

(defvar-local juliahub--attached-as nil "The URI under which it was told.")
(defvar-local juliahub--version 0 "The version of the text that it was told.")
(defvar-local juliahub--changed nil "Whether the text has changed since then.")
(defvar-local juliahub--timer nil "The timer that tells it of changes.")
(defvar-local juliahub--diagnostics nil "What it said of this buffer, for Flymake.")
(defvar-local juliahub--report-fn nil "Where Flymake wants to be told of that.")

(defun juliahub--uri ()
  "Return the URI of this buffer."
  (if buffer-file-name
      (with-suppressed-warnings ((obsolete eglot--path-to-uri))
        (funcall (if (fboundp 'eglot-path-to-uri) #'eglot-path-to-uri 'eglot--path-to-uri)
                 buffer-file-name))
    (concat "untitled:" (url-hexify-string (buffer-name)))))

(defun juliahub--julia-p ()
  "Tell whether there is a Julia program in this buffer."
  (or (derived-mode-p 'julia-mode 'julia-ts-mode)
      (and buffer-file-name (string-suffix-p ".jl" buffer-file-name))))

(defun juliahub--ours-p ()
  "Tell whether this buffer is one that the server should know."
  (and (not (and buffer-file-name (file-remote-p buffer-file-name)))
       (or (juliahub--julia-p)
           (and buffer-file-name
                (string-match-p "\\`\\(?:Julia\\)?\\(?:Project\\|Manifest\\(?:-v[0-9.]+\\)?\\)\\.toml\\'"
                                (file-name-nondirectory buffer-file-name))))))

(defun juliahub--attach (server)
  "Tell SERVER of this buffer, and return SERVER."
  (unless (or (eq server juliahub--attached) (juliahub--managing))
    (when juliahub--attached (juliahub--detach))
    (setq juliahub--attached server
          juliahub--attached-as (juliahub--uri)
          juliahub--version 0
          juliahub--changed nil)
    (jsonrpc-notify server :textDocument/didOpen
                    (list :textDocument
                          (list :uri juliahub--attached-as :version 0 :text (juliahub--text)
                                :languageId (if (juliahub--julia-p) "julia" "toml"))))
    (add-hook 'after-change-functions #'juliahub--after-change nil t)
    (add-hook 'after-save-hook #'juliahub--after-save nil t)
    (add-hook 'after-revert-hook #'juliahub--again nil t)
    (add-hook 'after-set-visited-file-name-hook #'juliahub--again nil t)
    (add-hook 'kill-buffer-hook #'juliahub--detach nil t)
    (add-hook 'change-major-mode-hook #'juliahub--detach nil t)
    (juliahub--join-flymake))
  server)

(defun juliahub--detach ()
  "Let the server forget this buffer."
  (when juliahub--attached
    (when (jsonrpc-running-p juliahub--attached)
      (jsonrpc-notify juliahub--attached :textDocument/didClose
                      (list :textDocument (list :uri juliahub--attached-as))))
    (when juliahub--timer (cancel-timer juliahub--timer))
    (setq juliahub--attached nil juliahub--timer nil)
    (remove-hook 'after-change-functions #'juliahub--after-change t)
    (remove-hook 'after-save-hook #'juliahub--after-save t)
    (remove-hook 'after-revert-hook #'juliahub--again t)
    (remove-hook 'after-set-visited-file-name-hook #'juliahub--again t)
    (remove-hook 'kill-buffer-hook #'juliahub--detach t)
    (remove-hook 'change-major-mode-hook #'juliahub--detach t)
    (juliahub--report nil)
    (remove-hook 'flymake-diagnostic-functions #'juliahub-flymake t)))

(defun juliahub--again ()
  "Tell the server anew of this buffer: it has other text, or another name."
  (when-let* ((server juliahub--attached))
    (juliahub--detach)
    (if (jsonrpc-running-p server) (juliahub--attach server) (juliahub--attach-soon))))

(defvar juliahub-attach-delay 0.3
  "How many seconds after its opening a buffer is attached to a server.
By then Eglot has started its own, if it is to start one by itself.")

(defun juliahub--attach-soon ()
  "Attach this buffer to a server in a moment."
  (run-with-timer juliahub-attach-delay nil
                  (lambda (buffer)
                    (when (buffer-live-p buffer)
                      (with-current-buffer buffer
                        (when juliahub-mode
                          (with-demoted-errors "JuliaHub: %S" (juliahub--attach-now))))))
                  (current-buffer)))

(defun juliahub--attach-now ()
  "Attach this buffer to a server unless one knows it; start one if need be.
`juliahub--connected' comes back here when that has connected."
  (cond ((or (juliahub--known-p) (not (juliahub--ours-p))))
        ((juliahub--near) (juliahub--attach (juliahub--near)))
        ((juliahub--start))))

(defun juliahub--text ()
  "Return the whole text of this buffer."
  (save-restriction (widen) (buffer-substring-no-properties (point-min) (point-max))))

(defun juliahub--after-change (&rest _)
  "Note that the text has changed; the server is told when typing pauses."
  (setq juliahub--changed t)
  (unless juliahub--timer
    (let ((buffer (current-buffer)))
      (setq juliahub--timer
            (run-with-idle-timer eglot-send-changes-idle-time nil
                                 (lambda ()
                                   (when (buffer-live-p buffer)
                                     (with-current-buffer buffer (juliahub--flush)))))))))

(defun juliahub--flush ()
  "Tell the server the text of this buffer, if that has changed."
  (when (juliahub--managing) (eglot--signal-textDocument/didChange))
  (when juliahub--timer
    (cancel-timer juliahub--timer)
    (setq juliahub--timer nil))
  (when (and juliahub--attached juliahub--changed (jsonrpc-running-p juliahub--attached))
    (setq juliahub--changed nil)
    (jsonrpc-notify juliahub--attached :textDocument/didChange
                    (list :textDocument (list :uri juliahub--attached-as
                                              :version (cl-incf juliahub--version))
                          :contentChanges (vector (list :text (juliahub--text)))))))

(defun juliahub--after-save ()
  "Tell the server that this buffer was saved."
  (juliahub--flush)
  (when (and juliahub--attached (jsonrpc-running-p juliahub--attached))
    (jsonrpc-notify juliahub--attached :textDocument/didSave
                    (list :textDocument (list :uri juliahub--attached-as)))))

(defun juliahub--managed-changed ()
  "Follow Eglot, which began or ceased to manage this buffer."
  (cond ((juliahub--managing)
         (juliahub--detach)
         (run-with-timer 0 nil #'juliahub--shut-down-idle))
        (juliahub--attached (juliahub--join-flymake))
        (juliahub-mode (juliahub--attach-soon))))

(add-hook 'eglot-managed-mode-hook #'juliahub--managed-changed)

(defun juliahub--shut-down-idle ()
  "Shut down servers that no buffer has any more and beside which there is another."
  (dolist (server (juliahub--live-servers))
    (when (and (null (eglot--managed-buffers server))
               (cl-notany (lambda (buffer) (eq server (buffer-local-value 'juliahub--attached buffer)))
                          (buffer-list))
               (cl-some (lambda (other)
                          (and (not (eq other server)) (equal (juliahub--root other) (juliahub--root server))))
                        (juliahub--live-servers)))
      (with-demoted-errors "JuliaHub: %S" (eglot-shutdown server)))))

(defun juliahub--join-flymake ()
  "Show the diagnostics of this buffer, besides those of others."
  (add-hook 'flymake-diagnostic-functions #'juliahub-flymake nil t)
  (if flymake-mode (flymake-start) (flymake-mode 1)))

(defun juliahub-flymake (report &rest _)
  "Backend for `flymake-diagnostic-functions': REPORT what the server said."
  (setq juliahub--report-fn report)
  (funcall report juliahub--diagnostics))

(defun juliahub--report (diagnostics)
  "Show DIAGNOSTICS, and no others of ours, in this buffer."
  (setq juliahub--diagnostics diagnostics)
  (when (and juliahub--report-fn flymake-mode)
    (save-restriction
      (widen)
      (funcall juliahub--report-fn diagnostics :region (cons (point-min) (point-max))))))

(defun juliahub--point (position server)
  "Return the place in this buffer of POSITION, as SERVER counts."
  (let ((bytes (equal (plist-get (eglot--capabilities server) :positionEncoding) "utf-8"))
        (left (plist-get position :character)))
    (save-excursion
      (save-restriction
        (widen)
        (goto-char (point-min))
        (forward-line (plist-get position :line))
        (while (and (> left 0) (not (eolp)))
          (cl-decf left (cond (bytes (string-bytes (char-to-string (char-after))))
                              ((> (char-after) #xffff) 2)
                              (1)))
          (forward-char))
        (point)))))

(defun juliahub--diagnostic (diagnostic server)
  "Return DIAGNOSTIC of SERVER as Flymake has them."
  (cl-destructuring-bind (&key range severity code message &allow-other-keys) diagnostic
    (let ((beg (juliahub--point (plist-get range :start) server))
          (end (juliahub--point (plist-get range :end) server)))
      (flymake-make-diagnostic
       (current-buffer) beg (max end (min (1+ beg) (1+ (buffer-size))))
       (pcase severity (1 :error) (2 :warning) (_ :note))
       (format "juliahub [%s]: %s" code message)))))

(cl-defmethod eglot-handle-notification
  ((server juliahub-server) (_method (eql textDocument/publishDiagnostics))
   &key uri diagnostics &allow-other-keys)
  "Show DIAGNOSTICS of SERVER in the buffer of URI, if that is one of ours."
  (let ((buffer (cl-find-if (lambda (buffer)
                              (and (eq server (buffer-local-value 'juliahub--attached buffer))
                                   (equal uri (buffer-local-value 'juliahub--attached-as buffer))))
                            (buffer-list))))
    (if buffer
        (with-current-buffer buffer
          (juliahub--report (mapcar (lambda (d) (juliahub--diagnostic d server)) diagnostics)))
      (cl-call-next-method))))


;;; Jobs

(defvar juliahub--jobs (make-hash-table :test #'equal)
  "All known jobs, by submission or else by id.")

(defvar juliahub-job-changed-functions nil
  "Functions that are called with a job that has changed.
A job is a plist with the members of the message juliahub/jobDidChange.")

(defun juliahub--key (job)
  "Return the key of JOB in `juliahub--jobs'."
  (let ((submission (plist-get job :submission)))
    (if (member submission '(nil "")) (plist-get job :job) submission)))

(defun juliahub--put (job)
  "Take what is new of JOB."
  (let ((before (gethash (juliahub--key job) juliahub--jobs)))
    ;; The news of a job leaves out how far it is; that stands.
    (when (and (juliahub--live-p job) (plist-get before :percent) (not (plist-get job :percent)))
      (setq job (plist-put job :percent (plist-get before :percent))))
    (puthash (juliahub--key job) job juliahub--jobs)
    (run-hook-with-args 'juliahub-job-changed-functions job)
    (juliahub--show-jobs)
    (force-mode-line-update t)))

(cl-defmethod eglot-handle-notification
  ((_server juliahub-server) (_method (eql juliahub/jobDidChange)) &rest job)
  "Take what is new of JOB."
  (juliahub--put job))

(defun juliahub--true (value)
  "Tell whether VALUE, which came as JSON, is true."
  (and value (not (eq value :json-false))))

(defun juliahub--live-p (job)
  "Tell whether JOB has not ended."
  (not (member (plist-get job :state) '("completed" "failed" "stopped" "refused" "cancelled"))))

(defun juliahub--submitted-p (job)
  "Tell whether JOB has an id."
  (not (member (plist-get job :job) '(nil ""))))

(defun juliahub--ended-p (job)
  "Tell whether JOB was submitted from here and has ended."
  (and (not (juliahub--live-p job)) (not (member (plist-get job :submission) '(nil "")))))

(defun juliahub-job-list ()
  "Return all jobs to show, newest first."
  (sort (cl-remove-if (lambda (job) (juliahub--true (plist-get job :dismissed)))
                      (hash-table-values juliahub--jobs))
        (lambda (a b) (time-less-p (juliahub--time b :created) (juliahub--time a :created)))))

(defun juliahub--time (job member)
  "Return the time MEMBER of JOB, 0 if it has none."
  (let ((text (plist-get job member)))
    (or (and text (ignore-errors (encode-time (iso8601-parse text t)))) 0)))

(defun juliahub--name (job)
  "Return what people call JOB."
  (let ((alias (plist-get job :alias)) (file (plist-get job :file)))
    (cond ((not (member alias '(nil ""))) alias)
          (file (file-name-nondirectory file))
          ((plist-get job :job))
          ("untitled"))))

(defun juliahub--state (job)
  "Return the state of JOB in words."
  (let ((state (plist-get job :state)) (percent (plist-get job :percent)))
    (propertize (if (and percent (equal state "running")) (format "%s %d%%" state percent) state)
                'face (cond ((juliahub--live-p job) 'juliahub-running)
                            ((equal state "completed") 'juliahub-completed)
                            ((equal state "failed") 'juliahub-failed)
                            ('shadow)))))

(defun juliahub--file-job ()
  "Return the newest job of this buffer, or nil."
  (let ((names (if buffer-file-name (list buffer-file-name (file-truename buffer-file-name))))
        (uri (unless buffer-file-name (juliahub--uri))))
    (cl-find-if (lambda (job)
                  (if (plist-get job :file)
                      (member (plist-get job :file) names)
                    (and uri (equal (plist-get job :uri) uri))))
                (juliahub-job-list))))

(defvar-local juliahub--job nil "The key of the job whose log this buffer shows.")

(defun juliahub--read-job (fits what)
  "Return the job that is meant and that FITS, to do WHAT with it.
In the list of jobs that is the one at point, in a log its own; else it
is the newest of this file, or one that is chosen."
  (let* ((key (if (derived-mode-p 'juliahub-jobs-mode) (tabulated-list-get-id) juliahub--job))
         (here (if key (gethash key juliahub--jobs) (juliahub--file-job))))
    (cond ((and here (funcall fits here)) here)
          ;; Who points at a job does not mean another one.
          (key (user-error "This job is %s: it is not one to %s"
                           (or (plist-get here :state) "not known") what))
          ((juliahub--choose-job (cl-remove-if-not fits (juliahub-job-list)) what)))))

(defun juliahub--choose-job (jobs what)
  "Ask which of JOBS is meant, to do WHAT with it."
  (unless jobs (user-error "There is no job to %s" what))
  (let ((rows (mapcar (lambda (job)
                        (cons (format "%s  %s  %s" (juliahub--name job)
                                      (or (plist-get job :job) "") (juliahub--state job))
                              job))
                      jobs)))
    (cdr (assoc (completing-read (format "Job to %s: " what) rows nil t nil nil (caar rows)) rows))))

(defun juliahub--target (job)
  "Return the arguments that name JOB."
  (if (member (plist-get job :submission) '(nil ""))
      (list :job (plist-get job :job))
    (list :submission (plist-get job :submission))))


;;; Submitting

(defun juliahub--check-julia ()
  "Make sure that this buffer can be submitted."
  (unless (juliahub--julia-p) (user-error "This is not a Julia file"))
  (unless juliahub-mode (juliahub-mode 1))
  (when (and juliahub-save-before-submit buffer-file-name (buffer-modified-p)) (save-buffer)))

(defun juliahub--read-profile ()
  "Return the profile to submit with: with a prefix argument it is asked for."
  (when current-prefix-arg
    (let* ((answer (jsonrpc-request (juliahub--server) :workspace/executeCommand
                                    (list :command "juliahub.profiles"
                                          :arguments (vector (list :uri (juliahub--uri))))))
           (names (append (plist-get answer :profiles) nil)))
      (unless names (user-error "There is no JuliaHub.toml with a profile"))
      (completing-read "Profile: " names nil t nil nil (plist-get answer :default)))))

(defun juliahub--submit (command profile &rest more)
  "Submit this buffer by COMMAND with PROFILE and MORE arguments."
  (let ((name (buffer-name)))
    (juliahub--execute
     command `(:uri ,(juliahub--uri) ,@(and profile (list :profile profile)) ,@more)
     (lambda (answer)
       (let ((lacks (plist-get answer :lacks)))
         (message "JuliaHub: %s is %s%s" name
                  (if (juliahub--true (plist-get answer :joined)) "being submitted already" "on its way")
                  (if (seq-empty-p lacks) "" (format " (without %s)" (string-join lacks ", ")))))))))

;;;###autoload
(defun juliahub-submit-script (&optional profile)
  "Submit this file as a script job, with the environment of its project.
With a prefix argument, ask for the PROFILE of JuliaHub.toml."
  (interactive (progn (juliahub--check-julia) (list (juliahub--read-profile))))
  (juliahub--check-julia)
  (juliahub--submit "submitScript" profile))

;;;###autoload
(defun juliahub-submit-appbundle (&optional profile)
  "Submit the project of this file as an appbundle, to run the file.
With a prefix argument, ask for the PROFILE of JuliaHub.toml."
  (interactive (progn (juliahub--check-julia) (list (juliahub--read-profile))))
  (juliahub--check-julia)
  (juliahub--submit "submitAppBundle" profile))

;;;###autoload
(defun juliahub-submit-region (beg end &optional profile)
  "Submit the lines from BEG to END as a script job.
With a prefix argument, ask for the PROFILE of JuliaHub.toml."
  (interactive (progn (juliahub--check-julia)
                      (unless (use-region-p) (user-error "Mark the lines to submit first"))
                      (list (region-beginning) (region-end) (juliahub--read-profile))))
  (juliahub--check-julia)
  (let ((first (1- (line-number-at-pos beg t)))
        ;; A region that ends at the beginning of a line does not mean that line.
        (last (line-number-at-pos (if (and (> end beg) (eq (char-before end) ?\n)) (1- end) end) t)))
    (juliahub--submit "submitScript" profile
                      :range (list :start (list :line first :character 0)
                                   :end (list :line last :character 0)))))

;;;###autoload
(defun juliahub-preview (&optional profile)
  "Show what a submission of this file would send, and send nothing.
With a prefix argument, ask for the PROFILE of JuliaHub.toml."
  (interactive (progn (juliahub--check-julia) (list (juliahub--read-profile))))
  (juliahub--check-julia)
  (juliahub--execute "previewJob" `(:uri ,(juliahub--uri) :show t ,@(and profile (list :profile profile)))))

;;;###autoload
(defun juliahub-preview-bundle ()
  "Show the contents of an appbundle of this file's project."
  (interactive)
  (juliahub--execute "previewBundle" (list :uri (juliahub--uri) :show t)))


;;; What can be done with a job

(defvar-keymap juliahub-log-mode-map
  :doc "Keymap of logs."
  "d" #'juliahub-download-results
  "k" #'juliahub-cancel
  "j" #'juliahub-jobs)

(define-derived-mode juliahub-log-mode special-mode "JuliaHub-Log"
  "Major mode for the log of a job.")

;;;###autoload
(defun juliahub-show-log (job)
  "Show the log of JOB, and follow it while that is running."
  (interactive (list (juliahub--read-job #'juliahub--submitted-p "read the log of")))
  (let ((key (juliahub--key job)))
    (juliahub--execute
     "logs" (append (juliahub--target job) '(:wait t))
     (lambda (answer) (juliahub--visit-log key (plist-get answer :path))))))

(defun juliahub--visit-log (key path)
  "Show the log of the job KEY, which is in the file PATH."
  (require 'autorevert)
  (let ((buffer (let ((coding-system-for-read 'utf-8-unix)) (find-file-noselect path t))))
    (with-current-buffer buffer
      (unless (derived-mode-p 'juliahub-log-mode)
        (juliahub-log-mode)
        (setq juliahub--job key)
        (setq-local auto-revert-verbose nil)
        ;; The log may have grown since it was read: it goes on where that ended.
        (setq-local auto-revert-tail-pos (bufferpos-to-filepos (point-max) 'exact))
        (auto-revert-tail-mode 1)))
    (pop-to-buffer buffer)
    (goto-char (point-max))))

;;;###autoload
(defun juliahub-download-results (job &optional directory)
  "Download the results of JOB and show them.
With a prefix argument, ask for the DIRECTORY to put them in."
  (interactive
   (list (juliahub--read-job (lambda (job) (and (juliahub--submitted-p job) (not (juliahub--live-p job))))
                             "download the results of")
         (and current-prefix-arg (read-directory-name "Download results to: "))))
  (juliahub--execute
   "downloadResults"
   `(,@(juliahub--target job) :wait t ,@(and directory (list :dir (expand-file-name directory))))
   #'juliahub--show-results))

(defun juliahub--show-results (answer)
  "Show the files of ANSWER: a single one itself, else their directory."
  (let* ((files (append (plist-get answer :files) nil))
         (results (or (cl-remove "outputs" files :key (lambda (f) (plist-get f :type)) :test #'equal) files))
         (paths (delq nil (mapcar (lambda (f) (plist-get f :path)) results)))
         (failed (delq nil (mapcar (lambda (f) (plist-get f :error)) files))))
    (cond ((null paths) (message "JuliaHub: the job has no results"))
          ((cdr paths) (dired (plist-get answer :dir)))
          (t (find-file-other-window (car paths))))
    (when paths
      (message "JuliaHub: %d file(s) in %s%s" (length paths)
               (abbreviate-file-name (plist-get answer :dir))
               (if failed (concat "; left out: " (string-join failed "; ")) "")))))

;;;###autoload
(defun juliahub-cancel (job)
  "Stop JOB: a submission before it is sent, else the job itself."
  (interactive (list (juliahub--read-job #'juliahub--live-p "stop")))
  (when (or (not (juliahub--submitted-p job))
            (y-or-n-p (format "Stop %s (%s)? " (juliahub--name job) (plist-get job :job))))
    (juliahub--execute "cancelJob" (juliahub--target job)
                       (lambda (answer) (message "JuliaHub: %s" (or (plist-get answer :message) "stopping"))))))

;;;###autoload
(defun juliahub-stop-watching (job)
  "Show no more of JOB, without ending it."
  (interactive (list (juliahub--read-job #'juliahub--live-p "watch no more")))
  (juliahub--execute "stopWatching" (juliahub--target job)))

;;;###autoload
(defun juliahub-extend (job hours)
  "Let JOB run HOURS hours longer than its limit."
  (interactive
   (list (juliahub--read-job (lambda (job)
                               (and (equal (plist-get job :state) "running")
                                    (> (or (plist-get job :limitHours) 0) 0)))
                             "extend")
         (if current-prefix-arg (prefix-numeric-value current-prefix-arg)
           (read-number "By how many hours? " 1))))
  (juliahub--execute "extendJob" (append (juliahub--target job) (list :hours hours :wait t))
                     (lambda (_) (message "JuliaHub: %s may run %d h longer" (juliahub--name job) hours))))

;;;###autoload
(defun juliahub-run-again (job)
  "Submit the file of JOB again, as it is now."
  (interactive (list (juliahub--read-job #'juliahub--ended-p "run again")))
  (juliahub--execute "rerun" (juliahub--target job)
                     (lambda (_) (message "JuliaHub: %s is on its way again" (juliahub--name job)))))

;;;###autoload
(defun juliahub-open (job)
  "Open the page of JOB in the browser."
  (interactive (list (juliahub--read-job #'juliahub--submitted-p "open")))
  (juliahub--execute "openJob" (juliahub--target job)
                     (lambda (answer) (when (plist-get answer :url) (browse-url (plist-get answer :url))))))

;;;###autoload
(defun juliahub-show-job (job)
  "Show all that is known of JOB."
  (interactive (list (juliahub--read-job #'identity "show")))
  (juliahub--execute "job" (append (juliahub--target job) '(:show t))))

;;;###autoload
(defun juliahub-dismiss (job)
  "Be done with JOB: take its state off its file."
  (interactive (list (juliahub--read-job #'juliahub--ended-p "dismiss")))
  (juliahub--execute "dismissJob" (juliahub--target job)))

(defun juliahub-visit (job)
  "Visit the file of JOB, at the line where it failed if it did."
  (interactive (list (juliahub--read-job (lambda (job) (plist-get job :file)) "visit")))
  (let ((spot (plist-get job :failedAt)))
    (find-file (or (plist-get spot :path) (plist-get job :file) (user-error "This job has no file here")))
    (when spot
      (goto-char (point-min))
      (forward-line (plist-get spot :line)))))


;;; Who is signed in

(defvar juliahub-account nil
  "Who is signed in: a plist with the members of juliahub/statusDidChange.")

(defvar juliahub-status-changed-functions nil
  "Functions that are called with `juliahub-account' when that has changed.")

(defun juliahub--set-account (account)
  "Take ACCOUNT for what is so now."
  (setq juliahub-account account)
  (run-hook-with-args 'juliahub-status-changed-functions account)
  (force-mode-line-update t))

(cl-defmethod eglot-handle-notification
  ((_server juliahub-server) (_method (eql juliahub/statusDidChange)) &rest account)
  "Take ACCOUNT for what is so now."
  (juliahub--set-account account))

(defun juliahub--account-text ()
  "Return a sentence on who is signed in."
  (let* ((account juliahub-account)
         (who (or (plist-get account :user) (plist-get account :email)))
         (server (replace-regexp-in-string "\\`https?://" "" (or (plist-get account :server) ""))))
    (cond ((null account) "Who is signed in is not known yet")
          ((juliahub--true (plist-get account :signedIn))
           (format "Signed in to %s%s%s" server (if who (format " as %s" who) "")
                   (if (juliahub--true (plist-get account :explicit)) " (JULIAHUB_TOKEN)" "")))
          ((plist-get account :reason))
          ((format "Not signed in to %s" server)))))

;;;###autoload
(defun juliahub-status ()
  "Say who is signed in, and how many jobs run."
  (interactive)
  (jsonrpc-async-request
   (juliahub--server) :juliahub/status (make-hash-table :size 0)
   :success-fn (lambda (account)
                 (juliahub--set-account account)
                 (message "JuliaHub: %s, %d running" (juliahub--account-text)
                          (or (plist-get account :jobsRunning) 0)))
   :error-fn (lambda (error) (message "JuliaHub: %s" (juliahub--flat error)))))

;;;###autoload
(defun juliahub-login ()
  "Sign in to JuliaHub, on its page in the browser."
  (interactive)
  (juliahub--execute "signIn" '(:wait t)
                     (lambda (answer) (message "JuliaHub: signed in to %s" (plist-get answer :server)))))

;;;###autoload
(defun juliahub-logout ()
  "Sign out of JuliaHub, also for Julia's own package manager."
  (interactive)
  (juliahub--execute "signOut" (make-hash-table :size 0)
                     (lambda (answer) (message "JuliaHub: signed out of %s" (plist-get answer :server)))))

;;;###autoload
(defun juliahub-restart ()
  "Start the server of this buffer anew."
  (interactive)
  (let ((server (juliahub--server)))
    (eglot-reconnect server)
    (when juliahub--attached (juliahub--again))))


;;; The list of jobs

(defvar-keymap juliahub-jobs-mode-map
  :doc "Keymap of the list of jobs."
  "RET" #'juliahub-visit
  "l" #'juliahub-show-log
  "d" #'juliahub-download-results
  "k" #'juliahub-cancel
  "w" #'juliahub-stop-watching
  "+" #'juliahub-extend
  "r" #'juliahub-run-again
  "o" #'juliahub-open
  "i" #'juliahub-show-job
  "D" #'juliahub-dismiss
  "g" #'juliahub-jobs-refresh)

(define-derived-mode juliahub-jobs-mode tabulated-list-mode "JuliaHub-Jobs"
  "Major mode for the list of jobs."
  (setq tabulated-list-format [("State" 14 t) ("Name" 24 t) ("Job" 16 t) ("Submitted" 17 t)
                               ("Time" 9 nil) ("Node" 0 nil)]
        tabulated-list-entries #'juliahub--rows
        tabulated-list-padding 1)
  (tabulated-list-init-header))

(defun juliahub--rows ()
  "Return the rows of the list of jobs."
  (mapcar (lambda (job)
            (list (juliahub--key job)
                  (vector (juliahub--state job) (juliahub--name job) (or (plist-get job :job) "")
                          (format-time-string "%F %R" (juliahub--time job :created))
                          (juliahub--duration job) (or (plist-get job :node) ""))))
          (juliahub-job-list)))

(defun juliahub--duration (job)
  "Return how long JOB ran, or has been running."
  (if (plist-get job :started)
      (format-seconds "%h:%.2m:%.2s"
                      (max 0 (float-time
                              (time-subtract (and (plist-get job :ended) (juliahub--time job :ended))
                                             (juliahub--time job :started)))))
    ""))

(defun juliahub--show-jobs ()
  "Show what is new in the list of jobs, if there is one."
  (when-let* ((buffer (get-buffer "*JuliaHub jobs*")))
    (with-current-buffer buffer (tabulated-list-print t))))

(defvar juliahub--clock nil "The timer that keeps the times of running jobs going.")

(defun juliahub--tick ()
  "Bring the times of running jobs up to date while they are to be seen."
  (cond ((not (get-buffer "*JuliaHub jobs*"))
         (when juliahub--clock (cancel-timer juliahub--clock))
         (setq juliahub--clock nil))
        ((and (get-buffer-window "*JuliaHub jobs*" t)
              (cl-some #'juliahub--live-p (juliahub-job-list)))
         (juliahub--show-jobs))))

;;;###autoload
(defun juliahub-jobs ()
  "List the jobs on JuliaHub.
\\{juliahub-jobs-mode-map}"
  (interactive)
  (juliahub--server)
  (let ((directory default-directory))
    (pop-to-buffer "*JuliaHub jobs*")
    (unless (derived-mode-p 'juliahub-jobs-mode)
      (juliahub-jobs-mode)
      (setq default-directory directory))
    (juliahub--show-jobs)
    (unless juliahub--clock (setq juliahub--clock (run-with-timer 5 5 #'juliahub--tick)))))

(defun juliahub-jobs-refresh ()
  "Ask JuliaHub for its list of jobs, also those submitted elsewhere."
  (interactive)
  (juliahub--execute
   "jobs" (list :limit juliahub-jobs-limit :wait t :show :json-false)
   (lambda (answer)
     (let ((ours (mapcar (lambda (job) (plist-get job :job)) (hash-table-values juliahub--jobs)))
           (rows (append (plist-get answer :jobs) nil)))
       (dolist (row rows)
         (let ((known (gethash (plist-get row :job) juliahub--jobs)))
           ;; Of our own jobs the records say more.
           (when (or known (not (member (plist-get row :job) ours)))
             (puthash (plist-get row :job)
                      (append (list :state (downcase (plist-get row :status))
                                    :created (plist-get row :submitted))
                              row)
                      juliahub--jobs))))
       (juliahub--show-jobs)
       (message "JuliaHub: %d jobs" (length rows))))))


;;; The mode

(defvar-keymap juliahub-command-map
  :doc "Keymap of the commands, to be put on a key of yours."
  "s" #'juliahub-submit-script
  "a" #'juliahub-submit-appbundle
  "r" #'juliahub-submit-region
  "p" #'juliahub-preview
  "b" #'juliahub-preview-bundle
  "j" #'juliahub-jobs
  "l" #'juliahub-show-log
  "d" #'juliahub-download-results
  "k" #'juliahub-cancel
  "+" #'juliahub-extend
  "g" #'juliahub-run-again
  "o" #'juliahub-open
  "i" #'juliahub-show-job
  "?" #'juliahub-status)

(defvar-keymap juliahub-mode-map
  :doc "Keymap of `juliahub-mode'.")

(easy-menu-define juliahub-menu juliahub-mode-map
  "Menu of JuliaHub."
  '("JuliaHub"
    ["Submit as Script" juliahub-submit-script :active (juliahub--julia-p)]
    ["Submit Region as Script" juliahub-submit-region :active (and (juliahub--julia-p) (use-region-p))]
    ["Submit Project as Appbundle" juliahub-submit-appbundle :active (juliahub--julia-p)]
    ["Preview Job" juliahub-preview :active (juliahub--julia-p)]
    ["Preview Bundle" juliahub-preview-bundle]
    "---"
    ["Show Log" juliahub-show-log]
    ["Download Results" juliahub-download-results]
    ["Open in Browser" juliahub-open]
    ["Show Job" juliahub-show-job]
    ["Extend Time Limit..." juliahub-extend]
    ["Stop Watching" juliahub-stop-watching]
    ["Stop Job..." juliahub-cancel]
    ["Run Again" juliahub-run-again]
    ["Dismiss" juliahub-dismiss]
    "---"
    ["Jobs" juliahub-jobs]
    ["Status" juliahub-status]
    ["Sign In" juliahub-login]
    ["Sign Out" juliahub-logout]
    ["Restart Server" juliahub-restart]))

(defun juliahub-mode-line ()
  "Return the state of this file's job, or the number of jobs, for the mode line."
  (let* ((job (juliahub--file-job))
         (running (cl-count-if #'juliahub--live-p (juliahub-job-list)))
         (text (cond (job (juliahub--state job))
                     ((> running 0) (format "%d running" running))
                     ((member (plist-get juliahub-account :state) '("signed-out" "expired" "refused"))
                      (propertize "signed out" 'face 'warning)))))
    (list " "
          (list :propertize (concat "JuliaHub" (and text ":") (and text (string-replace "%" "%%" text)))
                'help-echo (concat (if job (format "%s (%s)\n" (juliahub--name job) (or (plist-get job :job) "no id yet")))
                                   (juliahub--account-text) "\nmouse-1: list of jobs")
                'mouse-face 'mode-line-highlight
                'local-map (make-mode-line-mouse-map 'mouse-1 #'juliahub-jobs)))))

;;;###autoload
(define-minor-mode juliahub-mode
  "Run this file on JuliaHub, and see what becomes of it.
What other editors show above the first line of a file as a code lens is
in the mode line here."
  :lighter (:eval (juliahub-mode-line))
  (if juliahub-mode
      (unless (juliahub--managing) (juliahub--attach-soon))
    (juliahub--detach)))

(defun juliahub--turn-on ()
  "Turn `juliahub-mode' on where it is of use."
  (when (and (or (juliahub--ours-p) (derived-mode-p 'juliahub-toml-mode 'juliahub-ignore-mode))
             buffer-file-name)
    (juliahub-mode 1)))

;;;###autoload
(define-globalized-minor-mode global-juliahub-mode juliahub-mode juliahub--turn-on
  :group 'juliahub
  :predicate t)

(provide 'juliahub)
;;; juliahub.el ends here
