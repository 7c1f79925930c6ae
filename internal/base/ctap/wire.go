package ctap

import "github.com/fxamacker/cbor/v2"

// algorithms reads a list of parameters; those of another type than PublicKey are passed
// over.
func algorithms(params []paramWire) ([]Algorithm, error) {
	var list []Algorithm
	for _, p := range params {
		if p.Algorithm == nil || p.Type == nil {
			return nil, Refuse(MissingParameter, "an algorithm lacks its number or its type")
		}
		if *p.Type == PublicKey {
			list = append(list, Algorithm(*p.Algorithm))
		}
	}
	return list, nil
}

// descriptors reads a list of credentials. None and an empty list are not the same: the
// empty one is a slice of no length (CTAP 2.1 §6.2.2).
func descriptors(list *[]descriptorWire) ([]Descriptor, error) {
	if list == nil {
		return nil, nil
	}
	read := make([]Descriptor, 0, len(*list))
	for _, d := range *list {
		switch {
		case d.ID == nil || d.Type == nil:
			return nil, Refuse(MissingParameter, "a credential lacks its id or its type")
		case len(*d.ID) > MaxID || len(*d.Type) > maxTypeLength:
			return nil, Refuse(LimitExceeded, "a credential's id or type is too long")
		}
		read = append(read, Descriptor{Type: *d.Type, ID: []byte(*d.ID)})
	}
	return read, nil
}

func wireDescriptors(list []Descriptor) *[]descriptorWire {
	if list == nil {
		return nil
	}
	wire := make([]descriptorWire, len(list))
	for i, d := range list {
		wire[i] = descriptorWire{ID: new(cbor.ByteString(d.ID)), Type: new(d.Type)}
	}
	return &wire
}

func wireOptions(rk, up, uv *bool) *optionsWire {
	if rk == nil && up == nil && uv == nil {
		return nil
	}
	return &optionsWire{Resident: rk, UP: up, UV: uv}
}

// small reads a number that is one of a few; 0 stands for none and is not said.
func small(n *uint64) (int, error) {
	switch {
	case n == nil:
		return 0, nil
	case *n == 0 || *n > 255:
		return 0, Refuse(InvalidParameter, "a number is out of range")
	default:
		return int(*n), nil
	}
}

func wireSmall(n int) *uint64 {
	if n == 0 {
		return nil
	}
	return new(uint64(n))
}

func wireTrue(b bool) *bool {
	if !b {
		return nil
	}
	return new(true)
}

// optionalBytes returns nil for none, and what is not nil for some, be they empty.
func optionalBytes(b *cbor.ByteString) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, *b...)
}

func wireBytes(b []byte) *cbor.ByteString {
	if b == nil {
		return nil
	}
	return new(cbor.ByteString(b))
}
