package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// docsPage is the API's page for people.
type docsPage struct {
	Title, Version, Description string
	Stylesheet, DocumentPath    string
	Groups                      []docsGroup
}

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Description string
	Parameters, Body, Answer               []docsField
	AnswerStatus                           string
}

type docsField struct{ Name, Type, Where, Text string }

// docs renders the OpenAPI document for people, without a script.
func (a *restAPI) docs(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = docsTemplate(a.docsPage()).Render(r.Context(), w) // the reader has gone: nothing to do about it
}

func (a *restAPI) docsPage() docsPage {
	doc := a.huma.OpenAPI()
	p := docsPage{
		Title: doc.Info.Title + " API", Version: doc.Info.Version, Description: strings.ReplaceAll(doc.Info.Description, "`", ""),
		Stylesheet: a.c.Assets.Path("app.css"), DocumentPath: Prefix + "/openapi.json",
	}
	groups := map[string][]docsOperation{}
	for path, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				groups[op.Tags[0]] = append(groups[op.Tags[0]], describe(doc, path, op))
			}
		}
	}
	for name, ops := range groups {
		slices.SortFunc(ops, func(x, y docsOperation) int {
			return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.Method, y.Method))
		})
		p.Groups = append(p.Groups, docsGroup{Name: name, Operations: ops})
	}
	slices.SortFunc(p.Groups, func(x, y docsGroup) int { return cmp.Compare(x.Name, y.Name) })
	return p
}

func describe(doc *huma.OpenAPI, path string, op *huma.Operation) docsOperation {
	out := docsOperation{ID: op.OperationID, Method: op.Method, Path: path, Summary: op.Summary, Description: op.Description}
	for _, p := range op.Parameters {
		out.Parameters = append(out.Parameters, docsField{Name: p.Name, Type: typeName(p.Schema), Where: p.In, Text: p.Description})
	}
	if op.RequestBody != nil {
		for _, media := range op.RequestBody.Content {
			out.Body = fields(doc, media.Schema)
		}
	}
	for status, answer := range op.Responses {
		if !strings.HasPrefix(status, "2") {
			continue
		}
		out.AnswerStatus = status
		for _, media := range answer.Content {
			out.Answer = fields(doc, media.Schema)
		}
	}
	return out
}

// fields lists an object's properties by name.
func fields(doc *huma.OpenAPI, s *huma.Schema) []docsField {
	s = resolve(doc, s)
	if s == nil {
		return nil
	}
	var out []docsField
	for name, property := range s.Properties {
		f := docsField{Name: name, Type: typeName(resolve(doc, property)), Text: property.Description}
		if slices.Contains(s.Required, name) {
			f.Where = "always"
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(x, y docsField) int { return cmp.Compare(x.Name, y.Name) })
	return out
}

func resolve(doc *huma.OpenAPI, s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

func typeName(s *huma.Schema) string {
	switch {
	case s == nil:
		return ""
	case len(s.Enum) > 0:
		var words []string
		for _, v := range s.Enum {
			if word, ok := v.(string); ok {
				words = append(words, word)
			}
		}
		return strings.Join(words, " | ")
	case s.Type == huma.TypeArray:
		return "array"
	case s.Format != "":
		return s.Format
	}
	return s.Type
}
