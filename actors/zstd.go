package actors

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/logmesh/logmesh/codec"
)

// squeezer compresses and decompresses the blocks of one stream. It has no
// goroutines of its own, and makes what it needs when it is first needed. It is not
// safe for concurrent use.
type squeezer struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

// enough is the part of a block's size that its zstd must stay below to be sent.
const enough = 0.9

// compress is the zstd of block.
func (s *squeezer) compress(block []byte) []byte {
	if s.encoder == nil {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(windowSize), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			panic("zstd: " + err.Error()) // the options are constants
		}
		s.encoder = e
	}
	return s.encoder.EncodeAll(block, make([]byte, 0, len(block)))
}

// windowSize holds a usual block whole.
const windowSize = 512 << 10

// ratio is the size of block after compression beside its own.
func (s *squeezer) ratio(block []byte) float64 {
	return float64(len(s.compress(block))) / float64(len(block))
}

// decompress is the block that data, of a peer, is the zstd of. It takes no more
// memory than a block may have.
func (s *squeezer) decompress(data []byte) ([]byte, error) {
	if s.decoder == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(codec.MaxBlock), zstd.IgnoreChecksum(true))
		if err != nil {
			panic("zstd: " + err.Error())
		}
		s.decoder = d
	}
	out, err := s.decoder.DecodeAll(data, nil)
	if err != nil {
		return nil, fmt.Errorf("a compressed block: %w", err)
	}
	return out, nil
}
