package settings

// HubFile is the name of the project's settings file.
const HubFile = "JuliaHub.toml"

// FindHubFile returns the path of the JuliaHub.toml nearest to dir upwards, not
// past home (home itself is looked at, nothing above it); "" when there is none.
func FindHubFile(dir, home string) string { return "" }
