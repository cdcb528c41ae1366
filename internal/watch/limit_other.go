//go:build !unix

package watch

func limit(err error) error { return err }
