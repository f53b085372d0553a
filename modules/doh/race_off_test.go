//go:build !race

package doh_test

const raceDetector = false
