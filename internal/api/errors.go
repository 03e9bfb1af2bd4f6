package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/logmesh/logmesh"
)

// Code is the stable name of a failure.
type Code string

// The codes, with their HTTP statuses.
const (
	CodeBadRequest   Code = "bad_request"         // 400
	CodeForbidden    Code = "forbidden"           // 403: foreign Host or Origin
	CodeNotFound     Code = "not_found"           // 404: no such key, or no such path
	CodeMethod       Code = "method_not_allowed"  // 405
	CodeRefused      Code = "refused"             // 409: by the leader, whoever asks: a change of the membership that is unsafe or impossible now
	CodePrecondition Code = "precondition_failed" // 412: compare-and-swap found another value
	CodeTooLarge     Code = "too_large"           // 413: key or value above its limit
	CodeRejected     Code = "rejected"            // 422: decided; the machine refused it
	CodeInternal     Code = "internal"            // 500
	CodeNoLeader     Code = "no_leader"           // 503: nothing has happened; ask again
	CodeStopped      Code = "stopped"             // 503: the group is closed here, or this node was removed
	CodeUnknown      Code = "outcome_unknown"     // 504: a write that may have happened, or may yet
	CodeTimeout      Code = "timeout"             // 504: a read that was not answered in time
	CodeUnreachable  Code = "unreachable"         // no status: made by the client when no node answers
)

var statusOf = map[Code]int{
	CodeBadRequest:   http.StatusBadRequest,
	CodeForbidden:    http.StatusForbidden,
	CodeNotFound:     http.StatusNotFound,
	CodeMethod:       http.StatusMethodNotAllowed,
	CodeRefused:      http.StatusConflict,
	CodePrecondition: http.StatusPreconditionFailed,
	CodeTooLarge:     http.StatusRequestEntityTooLarge,
	CodeRejected:     http.StatusUnprocessableEntity,
	CodeInternal:     http.StatusInternalServerError,
	CodeNoLeader:     http.StatusServiceUnavailable,
	CodeStopped:      http.StatusServiceUnavailable,
	CodeUnknown:      http.StatusGatewayTimeout,
	CodeTimeout:      http.StatusGatewayTimeout,
}

// Error is a failure as it travels: what went wrong and what to do next.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"error"`
	Hint    string `json:"hint,omitempty"`
}

func (e *Error) Error() string { return e.Message }

// Is makes errors.Is compare codes alone.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code
}

func fail(code Code, hint, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// asError gives an error of the group its code and its hint.
func asError(err error) *Error {
	var coded *Error
	var unknown *logmesh.UnknownOutcomeError
	var rejected *logmesh.RejectedError
	var refused *logmesh.RefusedError
	var lacking *logmesh.NoQuorumError
	switch {
	case errors.As(err, &coded):
		return coded
	case errors.As(err, &unknown):
		return fail(CodeUnknown, "read the key before writing again: the write may have happened, or may yet", "%v", err)
	case errors.As(err, &rejected):
		return fail(CodeRejected, "", "%v", err)
	case errors.As(err, &refused):
		return fail(CodeRefused, "", "%v", err)
	case errors.As(err, &lacking):
		return fail(CodeNoLeader, "nothing was changed; start the missing voters, and it goes on; if a majority is lost for good, see docs/recovery.md and `logmesh recover --help`", "%v", err)
	case errors.Is(err, logmesh.ErrNoLeader):
		return fail(CodeNoLeader, "nothing was changed; see who is missing in `logmesh status`, or try again in a few seconds", "%v", err)
	case errors.Is(err, logmesh.ErrRemoved), errors.Is(err, logmesh.ErrClosed):
		return fail(CodeStopped, "ask another member", "%v", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fail(CodeTimeout, "see what the node is doing in `logmesh status`, or give it longer with --timeout", "the node did not answer in time")
	}
	return fail(CodeInternal, "the node's log says more", "%v", err)
}
