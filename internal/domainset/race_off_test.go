//go:build !race

package domainset

const raceEnabled = false
