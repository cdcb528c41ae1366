package main

import (
	"context"
	"os/exec"
	"runtime"
)

// browse opens a web page in the person's browser. Where that does not work the
// address that was printed has to do.
func browse(ctx context.Context, url string) {
	var cmd *exec.Cmd
	switch runtime.GOOS {
	case "windows":
		cmd = exec.CommandContext(ctx, "rundll32", "url.dll,FileProtocolHandler", url)
	case "darwin":
		cmd = exec.CommandContext(ctx, "open", url)
	default:
		cmd = exec.CommandContext(ctx, "xdg-open", url)
	}
	_ = cmd.Run()
}
