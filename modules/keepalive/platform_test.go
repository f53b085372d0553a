package keepalive

import (
	"net/url"
	"testing"
	"time"
)

// Every figure has its source and the date on which that was read.
func TestPlatformTable(t *testing.T) {
	for _, p := range platforms {
		source, err := url.Parse(p.source)
		if err != nil || source.Scheme != "https" || source.Host == "" {
			t.Errorf("%s: the source is %q", p.name, p.source)
		}
		if _, err := time.Parse(time.DateOnly, p.checked); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		if p.sleepsAfter < time.Minute {
			t.Errorf("%s sleeps after %v", p.name, p.sleepsAfter)
		}
	}
}

func TestPlatform(t *testing.T) {
	up := counting(t)
	b := startAt(t, "\t\tjitter 0%\n\t\ttarget preset "+up.URL+" {\n\t\t\tplatform render\n\t\t}\n"+
		"\t\ttarget by-hand "+up.URL+"/b {\n\t\t\tplatform render\n\t\t\tsleeps_after 30m\n\t\t\tquota 100h/month mine\n\t\t}")
	for name, want := range map[string]struct{ interval, hours time.Duration }{
		"preset": {10 * time.Minute, 750 * time.Hour}, "by-hand": {20 * time.Minute, 100 * time.Hour},
	} {
		b.settled(name, 1)
		if next := b.since(*b.target(name).NextPing); next != want.interval {
			t.Errorf("%s: the next ping comes after %v, want %v", name, next, want.interval)
		}
		q := activeApp().target(name).hoursQuota()
		if got := time.Duration(q.Amount) * time.Second; got != want.hours {
			t.Errorf("%s: the quota is %v, want %v", name, got, want.hours)
		}
	}
}

// Without a preset, too, a URL that keeps nothing awake is warned of.
func TestPlaceIsWarnedAbout(t *testing.T) {
	for address, says := range map[string]string{
		"https://my-app.streamlit.app/":           "cannot keep a Streamlit app awake",
		"https://huggingface.co/spaces/me/my_app": "own address is https://me-my-app.hf.space",
		"https://me-my-app.hf.space/":             "",
		"https://huggingface.co/me":               "",
		"https://streamlit.app.example/":          "",
	} {
		t.Run(address, func(t *testing.T) {
			b := startAt(t, "\t\ttarget a "+address+" {\n\t\t\tcron \"0 12 * * *\"\n\t\t}")
			if n := b.Logs.Count(`"level":"warn"`, `"target":"a"`); (n == 1) != (says != "") {
				t.Errorf("%d warnings", n)
			}
			if says != "" && b.Logs.Count(`"level":"warn"`, says) != 1 {
				t.Errorf("no warning that says %q", says)
			}
		})
	}
}
