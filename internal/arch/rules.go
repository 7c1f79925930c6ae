package arch

// ring is a package's place in the house, which decides what it may import.
type ring string

// The rings. docs/ARCHITECTURE.md says what each is for.
const (
	ringCmd       ring = "cmd"
	ringApp       ring = "app"
	ringEdge      ring = "edge"
	ringKit       ring = "kit"
	ringOut       ring = "out"
	ringFlow      ring = "flow"
	ringRoom      ring = "room"
	ringLedger    ring = "ledger"
	ringStore     ring = "store"
	ringStoretest ring = "storetest"
	ringDoor      ring = "door"
	ringAgent     ring = "agent"
	ringBase      ring = "base"
	ringArch      ring = "arch"
	ringE2E       ring = "e2e"
	ringTool      ring = "tool"
)

// mayImport says which rings a ring's packages may import. A ring that does not
// name itself has no imports between siblings; a package and its own subpackages
// are not siblings.
//
// constant: a table.
var mayImport = map[ring][]ring{
	ringCmd:       {ringApp, ringDoor, ringAgent, ringBase},
	ringApp:       {ringEdge, ringKit, ringOut, ringFlow, ringRoom, ringLedger, ringStore, ringDoor, ringAgent, ringBase},
	ringEdge:      {ringKit, ringFlow, ringRoom, ringLedger, ringBase},
	ringKit:       {ringBase},
	ringOut:       {ringLedger, ringBase},
	ringFlow:      {ringRoom, ringLedger, ringBase},
	ringRoom:      {ringLedger, ringBase},
	ringLedger:    {ringBase},
	ringStore:     {ringRoom, ringLedger, ringBase},
	ringStoretest: {ringStore, ringRoom, ringLedger, ringBase},
	ringDoor:      {ringBase},
	ringAgent:     {ringBase},
	ringBase:      {ringBase},
	ringArch:      {},
	ringE2E:       {ringBase},
	ringTool:      {},
}

// listed says which folders may hold Go code, and in which ring they are. A new
// package is one line here, in the commit that brings it.
//
// constant: a table.
var listed = map[string]ring{
	"cmd/keyhold":       ringCmd,
	"cmd/keyhold-agent": ringCmd,
	"cmd/keyhold-bench": ringCmd,
	"cmd/keyhold-lock":  ringCmd,

	"internal/app":      ringApp,
	"internal/app/demo": ringApp,

	"internal/edge/api":           ringEdge,
	"internal/edge/authenticator": ringEdge,
	"internal/edge/holder":        ringEdge,
	"internal/edge/lockgate":      ringEdge,
	"internal/edge/panel":         ringEdge,
	"internal/edge/sharedmobile":  ringEdge,
	"internal/edge/kit":           ringKit,
	"internal/edge/kit/assets":    ringKit,

	"internal/out/checkpoint": ringOut,
	"internal/out/keeper":     ringOut,
	"internal/out/mail":       ringOut,
	"internal/out/sequencer":  ringOut,
	"internal/out/wake":       ringOut,
	"internal/out/worker":     ringOut,

	"internal/agent": ringAgent,

	"internal/flow/authenticate": ringFlow,
	"internal/flow/bind":         ringFlow,
	"internal/flow/enrol":        ringFlow,
	"internal/flow/join":         ringFlow,
	"internal/flow/leave":        ringFlow,
	"internal/flow/unlock":       ringFlow,

	"internal/room/apikey":      ringRoom,
	"internal/room/client":      ringRoom,
	"internal/room/digitalkey":  ringRoom,
	"internal/room/directory":   ringRoom,
	"internal/room/overview":    ringRoom,
	"internal/room/securitykey": ringRoom,
	"internal/room/signin":      ringRoom,
	"internal/room/smartlock":   ringRoom,
	"internal/room/vault":       ringRoom,

	"internal/ledger/activity": ringLedger,
	"internal/ledger/lease":    ringLedger,
	"internal/ledger/outbox":   ringLedger,
	"internal/ledger/signal":   ringLedger,

	"internal/store":            ringStore,
	"internal/store/migrations": ringStore,
	"internal/store/storetest":  ringStoretest,

	"internal/door":              ringDoor,
	"internal/door/link":         ringDoor,
	"internal/door/link/virtual": ringDoor,

	"internal/base/auth":     ringBase,
	"internal/base/card":     ringBase,
	"internal/base/clock":    ringBase,
	"internal/base/cose":     ringBase,
	"internal/base/ctap":     ringBase,
	"internal/base/dpop":     ringBase,
	"internal/base/field":    ringBase,
	"internal/base/fault":    ringBase,
	"internal/base/grant":    ringBase,
	"internal/base/id":       ringBase,
	"internal/base/once":     ringBase,
	"internal/base/page":     ringBase,
	"internal/base/seal":     ringBase,
	"internal/base/search":   ringBase,
	"internal/base/secret":   ringBase,
	"internal/base/token":    ringBase,
	"internal/base/tx":       ringBase,
	"internal/base/webauthn": ringBase,

	"internal/arch": ringArch,
	"e2e":           ringE2E,

	"tools/extension": ringTool,
}

// allowedModules says where a third-party module may be imported. What is not
// named here may be imported by tests only. "x/..." means x and all below it.
//
// constant: a table.
var allowedModules = map[string][]string{
	"github.com/a-h/templ":                {"internal/edge/...", "internal/out/mail"},
	"github.com/descope/virtualwebauthn":  {"internal/app/demo"},
	"github.com/alecthomas/kong":          {"cmd/..."},
	"github.com/coder/websocket":          {"internal/edge/lockgate", "internal/door/link"},
	"github.com/danielgtaylor/huma/v2":    {"internal/edge/api"},
	"github.com/emersion/go-smtp":         {"internal/app/demo"},
	"github.com/fxamacker/cbor/v2":        {"internal/base/ctap", "internal/base/grant", "internal/door/..."},
	"github.com/go-webauthn/webauthn":     {"internal/room/signin", "internal/app/demo"},
	"github.com/golang-jwt/jwt/v5":        {"internal/base/dpop"},
	"github.com/gowebpki/jcs":             {"internal/base/webauthn"},
	"github.com/jackc/pgx/v5":             {"internal/store/..."},
	"github.com/jhillyerd/enmime/v2":      {"internal/app/demo"},
	"github.com/pressly/goose/v3":         {"internal/store/..."},
	"github.com/prometheus/client_golang": {"internal/edge/kit", "internal/app"},
	"github.com/tink-crypto/tink-go/v2":   {"internal/base/seal", "internal/out/keeper"},
	"github.com/veraison/go-cose":         {"internal/base/cose"},
	"github.com/wneessen/go-mail":         {"internal/out/mail"},
	"golang.org/x/net":                    {"internal/base/webauthn"},
	"golang.org/x/text":                   {"internal/room/...", "internal/base/...", "internal/store/...", "internal/edge/..."},
	"modernc.org/sqlite":                  {"internal/store/..."},
	"rsc.io/qr":                           {"internal/out/mail"},
}

// inner are the rings that hold rules and do no I/O: RuleWorld and the timers of
// RuleClock bind them.
//
// constant: a list.
var inner = []ring{ringFlow, ringRoom, ringLedger, ringBase}

// world is what the inner rings never import, each with all below it.
//
// constant: a list.
var world = []string{
	"database/sql", "html/template", "io/ioutil", "log", "net/http", "os", "syscall", "text/template",
}

// wallClock are the functions of package time that read the machine's clock, and
// clockReaders the folders that may use them.
//
// constant: lists.
var (
	wallClock    = []string{"Now", "Since", "Until"}
	clockReaders = []string{"internal/base/clock"}
)

// waiting are the functions of package time that the inner rings do not use
// besides: a rule never waits.
//
// constant: a list.
var waiting = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Sleep", "Tick"}

// serviceType names the type whose exported methods take (ctx, auth.Caller, …)
// in the packages of a ring, serviceTypeOf in one folder.
//
// constant: tables.
var (
	serviceType   = map[ring]string{ringRoom: "Service", ringFlow: "Service"}
	serviceTypeOf = map[string]string{"internal/ledger/activity": "Record"}
)

// naming says how the files of one folder are named: after a package of one of
// the rings, alone or followed by _topic, or as one of the listed others.
type naming struct {
	after  []ring
	others []string
}

// namedFolders are the folders whose file names are checked. Names stand without
// .go, .templ and _templ.go.
//
// constant: a table.
var namedFolders = map[string]naming{
	"internal/edge/api": {
		after:  []ring{ringRoom, ringLedger, ringFlow},
		others: []string{"api", "docs", "healthz", "list", "problem"},
	},
	"internal/edge/panel": {
		after:  []ring{ringRoom, ringLedger, ringFlow},
		others: []string{"account", "page", "panel", "search", "shell", "text"},
	},
	"internal/store": {
		after: []ring{ringRoom, ringLedger},
		others: []string{
			"engine", "latch", "lock", "migrate", "postgres", "posting", "query", "sqlite", "standing", "store", "tally", "term",
		},
	},
}

// queryFile is the one file of the store that may join fragments of SQL.
const queryFile = "internal/store/query.go"

// sqlWords are the words, in upper case as SQL is written here, by which a string
// is known as SQL.
const sqlWords = `\b(SELECT|INSERT|UPDATE|DELETE|FROM|WHERE|VALUES|RETURNING|JOIN|LIMIT|ORDER BY|ON CONFLICT)\b`

// The budgets, in lines of code; a budget that makes code worse is raised here
// with its reason. Raw strings are text, not code, to a function.
const (
	maxFunction     = 80
	maxFile         = 500
	maxPackage      = 2500 // of the inner rings
	maxDependencies = 39   // direct ones
)

// routeRegistration in a function's comment takes it out of the function budget:
// a list of routes reads best in one place.
const routeRegistration = "route registration"

// constantMark in a package-level variable's comment says that it is a constant
// that Go cannot declare as one: nothing ever writes to it.
const constantMark = "constant:"
