package securitykey

// Unused is what looking after unused keys would reach.
type Unused struct{ Notice, Suspend []SecurityKey }

// Model is a make of FIDO2 keys.
type Model struct{ AAGUID, Name string }

// Models lists the makes.
func Models() []Model { return []Model{{"cb69481e-8ff7-4039-93ec-0a2729a154a8", "YubiKey 5 Series"}, {"ee882879-721c-4913-9775-3dfcce97072a", "YubiKey 5 Series with Lightning"}} }

// ModelName names one.
func ModelName(aaguid string) string { return "" }
