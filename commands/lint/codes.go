package lint

import (
	"fmt"
	"strings"

	"juliahub-lsp/commands/settings"
)

// Code documents one kind of finding for docs/diagnostics.md.
type Code struct {
	Code, Where string
	Severity    Severity
	Why, Do     string
}

// The codes of this package's findings.
const (
	CodeIgnoreSyntax    = "ignore-syntax"
	CodeIgnoreSlash     = "ignore-leading-slash"
	CodeIgnoreDead      = "ignore-dead"
	CodeIgnoreShadows   = "ignore-shadows"
	CodeIgnoreParent    = "ignore-excluded-parent"
	CodeIgnoreProject   = "ignore-project-file"
	CodeIgnoreScript    = "ignore-script"
	CodeIgnorePackage   = "ignore-package"
	CodeIgnoreNotThere  = "ignore-not-in-packages"
	CodeSecret          = "secret"
	CodeLargeFile       = "large-file"
	CodeBuildOutput     = "build-output"
	CodeBundleSize      = "bundle-size"
	CodeProjectTOML     = "project-toml"
	CodeNoManifest      = "no-manifest"
	CodeManifestStale   = "manifest-stale"
	CodePackageMissing  = "package-missing"
	CodePackageStays    = "package-stays-here"
	CodeManifestJulia   = "manifest-julia"
	CodeCompatJulia     = "compat-julia"
	CodeScriptInclude   = "script-include"
	CodeScriptDir       = "script-dir-path"
	CodeScriptAbsolute  = "script-absolute-path"
	CodeScriptPackage   = "script-own-package"
	CodeScriptMain      = "script-main"
	CodeNoEnvironment   = "no-environment"
	CodeResultsOneImage = "results-one-image"
	CodePortOneImage    = "port-one-image"
	CodeResultsLong     = "results-long"
)

// unlessSent is said of what a script job would lack.
const unlessSent = " A hint as long as the script was never submitted."

// Codes is the table of all findings before a submission.
var Codes = []Code{
	{CodeIgnoreSyntax, ".juliabundleignore", Error, "The line is no pattern.", "Mend it: nothing is sent until then."},
	{CodeIgnoreSlash, ".juliabundleignore", Warning, "Patterns are matched against the whole relative path, which never begins with a slash: the rule matches nothing.", "Drop the slash (quick fix). A pattern without wildcards matches only next to the ignore file."},
	{CodeIgnoreDead, ".juliabundleignore", Hint, "The rule decides nothing: no file matches it, or later rules overrule it.", "Remove or mend it."},
	{CodeIgnoreShadows, ".juliabundleignore", Hint, "Only the nearest ignore file counts: this one replaces the rules of an outer one for everything below it.", "Repeat the outer rules that you still want here."},
	{CodeIgnoreParent, ".juliabundleignore", Warning, "An excluded directory is not entered, so nothing in it can be included again.", "Exclude the directory's content (dir/*) instead of the directory."},
	{CodeIgnoreProject, ".juliabundleignore", Warning, "A project or manifest file of the job's environment is excluded: the job would run in another environment.", "Include it again with a later rule that begins with !."},
	{CodeIgnoreScript, ".juliabundleignore", Error, "The script itself is excluded: the job could not run it.", "Include it again with a later rule that begins with !."},
	{CodeIgnorePackage, ".juliabundleignore", Warning, "A package of the manifest is excluded: the job will not find it.", "Include it again with a later rule that begins with !."},
	{CodeIgnoreNotThere, ".juliabundleignore", Information, "The rule counts for the project, not inside the packages that travel with it.", "Put it into the package's own .juliabundleignore."},
	{CodeSecret, ".juliabundleignore or project file", Warning, "A file that would be sent is called as files with secrets are.", "Exclude it (quick fix)."},
	{CodeLargeFile, ".juliabundleignore or project file", Information, "A file over 50 MiB would be sent.", "Exclude it (quick fix) if the job does not need it."},
	{CodeBuildOutput, ".juliabundleignore or project file", Information, "Something would be sent that programs make again by themselves.", "Exclude it (quick fix)."},
	{CodeBundleSize, ".juliabundleignore or project file", Error, "The bundle is near, or over, the 2 GiB that the server takes.", "Exclude what the job does not need."},
	{CodeProjectTOML, "Project.toml, Manifest.toml", Error, "The file is not valid TOML.", "Mend it: nothing is sent until then."},
	{CodeNoManifest, "Project.toml", Warning, "There is no manifest: the job resolves the newest versions of the packages.", "\"Resolve with Julia\" (quick fix), for the versions that you have tried."},
	{CodeManifestStale, "Project.toml", Warning, "The manifest does not have a package that the project asks for: the job would not find it.", "\"Resolve with Julia\" (quick fix), or \"Send without a manifest\"."},
	{CodePackageMissing, "Manifest.toml", Error, "A package is tracked by a path at which there is no package.", "Put it back, or remove it from the environment."},
	{CodePackageStays, "Manifest.toml, *.jl", Warning, "A package is tracked by a path. A script job sends no files but the script: the job will not have it." + unlessSent, "Submit as appbundle (offered with the actions on the script)."},
	{CodeManifestJulia, "Manifest.toml", Warning, "The manifest was resolved with another Julia than the job's.", "\"Resolve with Julia\" of the job (quick fix), \"Send without a manifest\", or name another image in the profile."},
	{CodeCompatJulia, "Project.toml", Warning, "[compat] julia does not allow the job's Julia.", "Widen the bound, or choose another image."},
	{CodeScriptInclude, "*.jl", Warning, "The script includes a file that a script job does not send." + unlessSent, "Submit as appbundle (offered with the actions on the script)."},
	{CodeScriptDir, "*.jl", Warning, "The script uses a file beside it, which a script job does not send." + unlessSent, "Submit as appbundle (offered with the actions on the script)."},
	{CodeScriptAbsolute, "*.jl", Warning, "The script names a file of this machine." + unlessSent, "Submit as appbundle (offered with the actions on the script), with the file in the project, and name it relative to @__DIR__."},
	{CodeScriptPackage, "*.jl", Warning, "The script uses the package that its environment is; a script job does not send its code." + unlessSent, "Submit as appbundle (offered with the actions on the script)."},
	{CodeScriptMain, "*.jl", Warning, "A script job runs as code.jl through another program: a main guard is skipped, @main is not called." + unlessSent, "Call the main function, or submit as appbundle (offered with the actions on the script)."},
	{CodeNoEnvironment, "*.jl", Hint, "The script uses packages and no project was found: the job will have none of them.", "Put a Project.toml beside the script, or set the profile's environment to a shared one such as \"@v1.10\"."},
	{CodeResultsOneImage, "*.jl", Hint, "Results are written in a way that only one generation of job images understands.", "Write them both ways (quick fix)."},
	{CodePortOneImage, "*.jl", Hint, "ENV[\"PORT\"] is set by older job images only, JULIAHUB_APP_PORT by newer ones only.", "Look at both (quick fix)."},
	{CodeResultsLong, "*.jl", Hint, "ENV[\"RESULTS\"] is cut after 1,000 characters.", "Write more into a results file."},
	{settings.CodeHubSyntax, settings.HubFile, Error, "The file is not valid TOML: nothing in it counts.", "Mend it."},
	{settings.CodeHubValue, settings.HubFile, Error, "The value is not allowed there: the layer below counts.", "Take one of the values that the message names (often a quick fix)."},
	{settings.CodeHubKey, settings.HubFile, Warning, "There is no such key.", "Take the likely one (quick fix)."},
	{settings.CodeHubInherits, settings.HubFile, Error, "The profile inherits from one that does not exist, or from itself.", "Name another profile."},
	{settings.CodeHubSecret, settings.HubFile, Warning, "The value looks like a secret; the file is meant to be shared.", "Let the job get it another way."},
	{settings.CodeNoProfile, settings.HubFile + ", editor settings, commands", Error, "There is no such profile.", "Name one that JuliaHub.toml has."},
	{settings.CodeEditorValue, "editor settings", Error, "The value is not allowed: the default counts.", "Take one of the values that the message names."},
	{settings.CodeEditorKey, "editor settings", Warning, "There is no such setting.", "Take the likely one."},
	{settings.CodeArgument, "commands", Error, "An argument of the command is wrong.", "Mend it: nothing was submitted."},
}

// Markdown writes a table of codes for docs/diagnostics.md.
func Markdown(codes []Code) string {
	names := map[Severity]string{Error: "error", Warning: "warning", Information: "information", Hint: "hint"}
	var b strings.Builder
	b.WriteString("| code | where | as | why | what to do |\n| --- | --- | --- | --- | --- |\n")
	for _, c := range codes {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", c.Code, c.Where, names[c.Severity], c.Why, c.Do)
	}
	return b.String()
}
