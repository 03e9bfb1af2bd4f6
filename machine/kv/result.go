package kv

// The results of commands.
type (
	// PutResult is the result of a Put.
	PutResult struct {
		Existed bool // the key had a value before
	}

	// DeleteResult is the result of a Delete.
	DeleteResult struct {
		Existed bool // the key had a value, which is gone now
	}

	// CASResult is the result of a CAS.
	CASResult struct {
		Swapped bool // the key had the old value, and has the new one now
	}
)

// The answers of queries.
type (
	// GetAnswer is the answer of a Get.
	GetAnswer struct {
		Found bool
		Value []byte // nil unless Found
	}

	// ScanAnswer is the answer of a Scan: one page.
	ScanAnswer struct {
		Items []Item // by rising keys
		More  bool   // at least one more key follows the last item
	}

	// Item is a key and its value, which is nil in a scan for keys only.
	Item struct {
		Key   string
		Value []byte
	}
)

// DecodePutResult reads the result of a Put.
func DecodePutResult(data []byte) (PutResult, error) {
	b, err := decodeBool(data)
	return PutResult{Existed: b}, err
}

// DecodeDeleteResult reads the result of a Delete.
func DecodeDeleteResult(data []byte) (DeleteResult, error) {
	b, err := decodeBool(data)
	return DeleteResult{Existed: b}, err
}

// DecodeCASResult reads the result of a CAS.
func DecodeCASResult(data []byte) (CASResult, error) {
	b, err := decodeBool(data)
	return CASResult{Swapped: b}, err
}

func decodeBool(data []byte) (bool, error) {
	r := reader{rest: data}
	b := r.bool()
	return b, r.end()
}

// DecodeGetAnswer reads the answer of a Get. The value is a copy.
func DecodeGetAnswer(data []byte) (GetAnswer, error) {
	r := reader{rest: data}
	value, found := r.optional()
	if err := r.end(); err != nil {
		return GetAnswer{}, err
	}
	return GetAnswer{Found: found, Value: clone(value, found)}, nil
}

// DecodeScanAnswer reads the answer of a Scan. Values are copies.
func DecodeScanAnswer(data []byte) (ScanAnswer, error) {
	r := reader{rest: data}
	r.array(2)
	a := ScanAnswer{More: r.bool()}
	n := r.head(majorArray)
	if n%2 != 0 || n > uint64(len(r.rest)) { // an item has 2 bytes at least
		r.fail(errMalformed)
	}
	for ; n > 0 && r.err == nil; n -= 2 {
		key := string(r.key())
		value, exists := r.optional()
		if i := len(a.Items); i > 0 && key <= a.Items[i-1].Key {
			r.fail(errMalformed)
		}
		a.Items = append(a.Items, Item{Key: key, Value: clone(value, exists)})
	}
	if err := r.end(); err != nil {
		return ScanAnswer{}, err
	}
	return a, nil
}

// appendPage appends a ScanAnswer.
func appendPage(dst []byte, page []pair, more, keysOnly bool) []byte {
	dst = appendHead(dst, majorArray, 2)
	dst = appendBool(dst, more)
	dst = appendHead(dst, majorArray, uint64(2*len(page)))
	for _, p := range page {
		dst = appendText(dst, p.key)
		dst = appendOptional(dst, p.record.value(), !keysOnly)
	}
	return dst
}
