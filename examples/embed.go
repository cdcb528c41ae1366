// Package examples holds the Julia examples of this directory, so that the
// demo of an installed binary has them without a checkout.
package examples

import "embed"

// FS holds the files of this directory under their names here. They are listed
// one by one: what running an example leaves beside them must not come along.
//
//go:embed pi.jl fails.jl
//go:embed project/Project.toml project/Manifest.toml project/.juliabundleignore
//go:embed project/report.jl project/src/readings.jl project/data/uccle.csv project/scratch/notes.md
//go:embed Greetings/Project.toml Greetings/src/Greetings.jl
var FS embed.FS
