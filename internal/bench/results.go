package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// results are the values that benchmarks have reported, one a round, by the name of
// the benchmark and the unit.
type results map[string]map[string][]float64

// add adds what a run of benchmarks has printed. Its lines are a name, the number of
// iterations, and pairs of a value and a unit.
//
// Source: https://go.dev/design/14313-benchmark-format
func (r results) add(output io.Reader) error {
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		if _, err := strconv.Atoi(fields[1]); err != nil {
			continue // a line of a log
		}
		name := withoutProcs(strings.TrimPrefix(fields[0], "Benchmark"))
		if r[name] == nil {
			r[name] = make(map[string][]float64)
		}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("%s: %q is no number", fields[0], fields[i])
			}
			r[name][fields[i+1]] = append(r[name][fields[i+1]], value)
		}
	}
	return lines.Err()
}

// withoutProcs removes the number of processors that Go puts behind a name.
func withoutProcs(name string) string {
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return name
	}
	if _, err := strconv.Atoi(name[at+1:]); err != nil {
		return name
	}
	return name[:at]
}

// write prints a table of what a bar or a ratio is known of, and one of all figures.
func (r results) write(w io.Writer) error {
	if len(r) == 0 {
		return fmt.Errorf("no benchmark has reported anything")
	}
	fmt.Fprintln(w, "| what | median | lowest–highest | bar | |")
	fmt.Fprintln(w, "|---|---|---|---|---|")
	for _, b := range bars {
		if values := r[b.benchmark][b.unit]; len(values) > 0 {
			s := summarize(values)
			fmt.Fprintf(w, "| %s | %s | %s–%s | %s | %s |\n", b.what, number(s.median), number(s.lowest), number(s.highest), b, b.verdict(s.median))
		}
	}
	fmt.Fprintln(w, "\n| benchmark | ratio | CPU a request, µs: the other, ours | memory, MB: the other, ours | median latency added, µs |")
	fmt.Fprintln(w, "|---|---|---|---|---|")
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if len(r[name]["cpu-ratio"]) == 0 && len(r[name]["added-p50-µs"]) == 0 {
			continue
		}
		middle := func(unit string) string {
			if values := r[name][unit]; len(values) > 0 {
				return number(summarize(values).median)
			}
			return "–"
		}
		_, err := fmt.Fprintf(w, "| %s | %s | %s, %s | %s, %s | %s |\n", name, middle("cpu-ratio"),
			middle("plain-µs"), middle("ours-µs"), middle("plain-MB"), middle("ours-MB"), middle("added-p50-µs"))
		if err != nil {
			return err
		}
	}
	return nil
}

// summary is the distribution of what the rounds have measured.
type summary struct{ median, lowest, highest float64 }

func summarize(values []float64) summary {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return summary{median: (sorted[(n-1)/2] + sorted[n/2]) / 2, lowest: sorted[0], highest: sorted[n-1]}
}

// number prints three significant digits, more only before the point.
func number(v float64) string {
	switch magnitude := max(v, -v); {
	case magnitude >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case magnitude >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case magnitude >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}

// bar is what a figure should be.
type bar struct {
	what            string
	benchmark, unit string
	limit           float64
	atLeast         bool // limit is the least, not the most
}

func (b bar) String() string {
	if b.atLeast {
		return "≥ " + strconv.FormatFloat(b.limit, 'f', -1, 64)
	}
	return "≤ " + strconv.FormatFloat(b.limit, 'f', -1, 64)
}

// verdict reports whether a figure meets the bar.
func (b bar) verdict(value float64) string {
	missed := cmp.Compare(value, b.limit) > 0
	if b.atLeast {
		missed = cmp.Compare(value, b.limit) < 0
	}
	if missed {
		return "missed"
	}
	return "met"
}
