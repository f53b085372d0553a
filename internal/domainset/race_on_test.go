//go:build race

package domainset

const raceEnabled = true
