package quota

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// regions are the first parts of names in the time zone database.
var regions = [...]string{
	"Asia", "Europe", "America", "Africa", "Australia", "Pacific", "Atlantic", "Indian", "America/Argentina", "America/Indiana",
}

// offset matches an offset from UTC, as people write it for a time zone.
var offset = regexp.MustCompile(`^(?i:(?:utc|gmt)?[+-]\d{1,2}(?::?\d\d)?|utc|gmt|z)$`)

// abbreviations matches common abbreviations of time zones. They are ambiguous (CST
// is in America and in China) or have no daylight saving time.
var abbreviations = regexp.MustCompile(`^(?:CST|JST|KST|HKT|SGT|IST|MSK|CES?T|[EWCMP][SD]T|EE[ST]?T|WES?T|BST|AE[SD]T|PRC|Zulu)$`)

// checkAccount returns an error for the name of an account that is meant as a time
// zone. Otherwise it would be a name, and the quota would be reset at the wrong
// hour without any notice.
func checkAccount(word string) error {
	if zone, ok := zoneOfCity(word); ok {
		return fmt.Errorf("%s would be the name of an account; the time zone is written %s", word, zone)
	}
	if offset.MatchString(word) || abbreviations.MatchString(word) {
		return fmt.Errorf("%s would be the name of an account; write the time zone as UTC or by its region and city, such as Asia/Shanghai", word)
	}
	return nil
}

// zoneOfCity returns the time zone that is named after a city.
func zoneOfCity(city string) (zone string, ok bool) {
	if strings.Trim(city, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-") != "" || len(city) < 3 {
		return "", false
	}
	for _, name := range []string{city, capitalized(city)} {
		for _, region := range regions {
			if _, err := time.LoadLocation(region + "/" + name); err == nil {
				return region + "/" + name, true
			}
		}
	}
	return "", false
}

// capitalized returns a city's name as the database writes it: los_angeles becomes
// Los_Angeles.
func capitalized(city string) string {
	words := strings.Split(strings.ToLower(city), "_")
	for i, word := range words {
		if word != "" {
			words[i] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "_")
}
