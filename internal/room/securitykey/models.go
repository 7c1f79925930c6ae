package securitykey

import (
	"cmp"
	"slices"
)

// Model is a make of authenticators, by the AAGUID that they tell.
type Model struct {
	AAGUID string
	Name   string
}

// models are well-known authenticators.
//
// constant: a table.
var models = map[string]string{
	"cb69481e-8ff7-4039-93ec-0a2729a154a8": "YubiKey 5 Series",
}

// Models returns the local list of models, by their names.
func Models() []Model {
	out := make([]Model, 0, len(models))
	for aaguid, name := range models {
		out = append(out, Model{aaguid, name})
	}
	slices.SortFunc(out, func(a, b Model) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.AAGUID, b.AAGUID)) })
	return out
}

// ModelName returns the name of a model from the local list, "" if it is unknown.
func ModelName(aaguid string) string { return models[cleanAAGUID(aaguid)] }
