// Package strictprovider is, for tests, a provider of each dialect that is as strict
// as the real ones: it refuses what they refuse, calls a tool only as it finds it
// declared, and takes back no signature but its own.
//
// What the providers refuse was read in their documentation, SDKs and users' reports,
// up to November 2026.
package strictprovider
