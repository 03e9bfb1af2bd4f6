//go:build !race

package sim

// usualSeeds is how many seeds a test runs that is not asked for more.
const usualSeeds = 300
