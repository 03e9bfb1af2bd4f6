package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// sample is what one run of a row came to.
type sample struct {
	Applied  uint64
	Took     time.Duration // until all was applied, or the limit came
	First    time.Duration // until the first command was applied
	Joiner   time.Duration // processor time of the follower's process
	Everyone time.Duration // of all the row's processes; 0: not known
	Peak     int64         // bytes that the follower's process had resident at most
}

// rate is entries per second.
func (s sample) rate() float64 { return float64(s.Applied) / s.Took.Seconds() }

// perMillion is the processor time, in seconds, of one million entries.
func (s sample) perMillion(d time.Duration) float64 {
	return d.Seconds() * 1e6 / float64(max(s.Applied, 1))
}

// outcome is a row with its runs.
type outcome struct {
	row
	samples []sample // one for each round, until it was left out
	skipped error    // why it was
}

// add runs the row once more, in a new directory that is gone afterwards. A row
// that has failed is left out from then on; when ctx has ended, all are.
func (o *outcome) add(ctx context.Context, r run, dir string) {
	if o.skipped != nil || ctx.Err() != nil {
		return
	}
	s, err := o.once(ctx, r, dir)
	if ctx.Err() != nil {
		return // the run was ended
	}
	if err != nil {
		o.skipped = err
		fmt.Fprintf(os.Stderr, "%-20s left out: %v\n", o.name, err)
		return
	}
	o.samples = append(o.samples, s)
	fmt.Fprintf(os.Stderr, "%-20s run %d: %.0f entries/s\n", o.name, len(o.samples), s.rate())
}

func (r row) once(ctx context.Context, with run, dir string) (_ sample, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	with.row, with.dir = r.name, dir
	return r.measure(ctx, with)
}

// median is the middle of what of says of each run.
func (o outcome) median(of func(sample) float64) float64 {
	values := make([]float64, len(o.samples))
	for i, s := range o.samples {
		values[i] = of(s)
	}
	return middle(values)
}

// times is how often this row's rate goes into that of ours: the median of the
// rounds' ratios. 0: not known.
func (o outcome) times(ours *outcome) float64 {
	if ours == nil {
		return 0
	}
	var ratios []float64
	for i := range min(len(o.samples), len(ours.samples)) {
		if its := o.samples[i].rate(); its > 0 {
			ratios = append(ratios, ours.samples[i].rate()/its)
		}
	}
	return middle(ratios)
}

// middle is the median of values, which it sorts: of an even number the mean of
// the middle two, of none 0.
func middle(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}
