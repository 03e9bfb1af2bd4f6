// Package api is a node's local HTTP interface and its client: the way in which
// programs, the command line and monitors read a node's status and use its
// key-value machine. It binds to loopback unless told otherwise and has no
// users or passwords: whoever reaches the address may read and write.
//
//	GET    /livez                  200 while the process answers
//	GET    /readyz                 200 when the group is usable here, else 503 and the reason as text
//	GET    /v1/status              logmesh.Status as JSON
//	GET    /v1/kv/{key}            the value's bytes; ETag, Logmesh-Index
//	PUT    /v1/kv/{key}            the body becomes the value; {"index":N,"existed":true}
//	DELETE /v1/kv/{key}            {"index":N,"existed":true}
//	GET    /v1/kv                  a page of a scan: {"items":[{"key":…,"value_base64":…}],"more":false,"index":N}
//	GET    /v1/members             logmesh.Membership as JSON
//	POST   /v1/members/remove      {"raft_id":"0123456789abcdef"}; answers, when it is done, as GET does
//	POST   /v1/members/promote     {"raft_id":…,"instead":…}; instead, if given, is the voter that makes place
//	POST   /v1/members/transfer    {"raft_id":…}: leadership to that voter
//	POST   /v1/members/target      {"voters":5}: how many voters the group wants
//	POST   /v1/leave               this node leaves the group, and stops
//	POST   /v1/tune                {"serve_rate":BYTES/s}; 0: no limit
//
// A key is everything behind /v1/kv/, percent-decoded; slashes may stand as
// they are. Only a key of dots (".", "a/../b") needs %2E, because HTTP clients
// resolve such paths themselves. Keys are UTF-8.
//
// Query parameters: read=strong (the default: linearizable, through any member)
// or read=local (what this member has applied); timeout=5s, how long the node
// may take (30 s; at most 10 min); and for a scan prefix, after (the last key of
// the page before), limit (100; at most 1,000) and keys_only=true.
//
// Compare-and-swap uses HTTP's own conditions (RFC 9110, section 13.1). A
// value's ETag is its SHA-256 in hexadecimal, in quotes, so it can be made
// without asking. PUT and DELETE with If-Match do their work only if the key
// has exactly that value, PUT with If-None-Match: * only if it has none;
// otherwise the answer is 412 and nothing is changed. GET with If-None-Match
// answers 304.
//
// Every failure is JSON {"code":…,"error":…,"hint":…} with one of the codes of
// errors.go. A request whose Host or Origin is neither a loopback name nor the
// address that the node is bound to is refused with 403: a web page in a
// browser on this machine must not reach the node.
package api
