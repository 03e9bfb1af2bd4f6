//go:build race

package sim

// usualSeeds is fewer under the race detector: a run is in one goroutine.
const usualSeeds = 30
