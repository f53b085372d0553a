package quota

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// regions are the first words of the names of time zones.
var regions = [...]string{
	"Asia", "Europe", "America", "Africa", "Australia", "Pacific", "Atlantic", "Indian", "America/Argentina", "America/Indiana",
}

// offset matches what people write for a time zone by its distance from UTC.
var offset = regexp.MustCompile(`^(?i:(?:utc|gmt)?[+-]\d{1,2}(?::?\d\d)?|utc|gmt|z)$`)

// abbreviations are names of time zones that stand for several, or for none
// that observes summer time.
var abbreviations = regexp.MustCompile(`^(?:CST|JST|KST|HKT|SGT|IST|MSK|CES?T|[EWCMP][SD]T|EE[ST]?T|WES?T|BST|AE[SD]T|PRC|Zulu)$`)

// checkAccount refuses a word in the place of an account that stands for a time
// zone. It would be taken for an account's name, and the quota would begin anew
// at the wrong hour.
func checkAccount(word string) error {
	if zone, ok := zoneOfCity(word); ok {
		return fmt.Errorf("%s would be the name of an account; the time zone is written %s", word, zone)
	}
	if offset.MatchString(word) || abbreviations.MatchString(word) {
		return fmt.Errorf("%s would be the name of an account; write the time zone as UTC or by its region and city, such as Asia/Shanghai", word)
	}
	return nil
}

// zoneOfCity returns the time zone of a city that gives its name to one.
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

// capitalized writes the words of a city's name with capitals: los_angeles
// becomes Los_Angeles.
func capitalized(city string) string {
	words := strings.Split(strings.ToLower(city), "_")
	for i, word := range words {
		if word != "" {
			words[i] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "_")
}
