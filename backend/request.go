package backend

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"tfhaul/lockwait"
)

// Values carried by the contexts of requests, for every kind.
type (
	stopKey    struct{}
	sendingKey struct{}
	meterKey   struct{}
)

// A Stop informs requests that outlive an interrupt about it.
type Stop struct {
	Interrupted context.Context // ends at the interrupt
	// Unsent ends the wait of requests that have not been sent, or that the server refused
	// because of its rate limit.
	Unsent bool
}

// MaxStopWait limits each wait of a request after an interrupt: for the rate limit, a
// response, or more bytes.
const MaxStopWait = 30 * time.Second

// WithStop returns a context for requests that outlive an interrupt. After the interrupt,
// each wait takes at most MaxStopWait. A context that already has a Stop keeps it, because
// work inside interrupted work is interrupted, too.
func WithStop(ctx context.Context, s Stop) context.Context {
	if StopOf(ctx) != nil {
		return ctx
	}
	return context.WithValue(ctx, stopKey{}, &s)
}

// StopOf returns the Stop of a context, or nil.
func StopOf(ctx context.Context) *Stop {
	s, _ := ctx.Value(stopKey{}).(*Stop)
	return s
}

// landingTime is how long an interrupted process may still take to finish what it cannot
// leave as it is. Without an interrupt there is no limit: reading back a state of many GB
// takes as long as it makes progress.
const landingTime = 5 * time.Minute

// Landing returns a context that outlives ctx, for finishing work that must not be
// interrupted halfway. Once ctx has ended, waits under it are short; see WithStop.
func Landing(ctx context.Context) (context.Context, context.CancelFunc) {
	landed, cancel := context.WithCancel(WithStop(context.WithoutCancel(ctx), Stop{Interrupted: ctx}))
	forget := context.AfterFunc(ctx, func() {
		late := time.AfterFunc(landingTime, cancel)
		context.AfterFunc(landed, func() { late.Stop() })
	})
	return landed, func() {
		forget()
		cancel()
	}
}

// WithSending returns a context under which check is called just before each attempt of a
// request is sent, after it has waited for the rate limit. If check returns an error,
// nothing is sent and the request fails with that error.
func WithSending(ctx context.Context, check lockwait.Sending) context.Context {
	return context.WithValue(ctx, sendingKey{}, check)
}

// SendingOf returns the check of a context, or nil.
func SendingOf(ctx context.Context) lockwait.Sending {
	check, _ := ctx.Value(sendingKey{}).(lockwait.Sending)
	return check
}

// A Meter counts the requests to a target's API, but not to blob stores, under the contexts
// that carry it. It counts every attempt, as the rate limit does.
type Meter struct{ calls atomic.Int64 }

// Calls returns the number of requests.
func (m *Meter) Calls() int { return int(m.calls.Load()) }

// WithMeter returns a context whose requests are counted by the meter.
func WithMeter(ctx context.Context) (context.Context, *Meter) {
	m := new(Meter)
	return context.WithValue(ctx, meterKey{}, m), m
}

// CallsSoFar returns how many requests the meter of the context has counted.
func CallsSoFar(ctx context.Context) int {
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		return m.Calls()
	}
	return 0
}

// CountRequest counts one attempt of a request in the meter of its context.
func CountRequest(ctx context.Context) {
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		m.calls.Add(1)
	}
}

// A read is attempted maxReads times. The first pause is firstReadPause; each later one is
// twice as long.
const (
	maxReads       = 4
	firstReadPause = 500 * time.Millisecond
)

// Retry repeats a read that did not reach the server or got an unclear response. It does
// not retry while the server is down, because every move of a haul would wait for it, or
// when the server's certificate is not trusted, because that lasts.
func Retry[T any](ctx context.Context, down func() bool, read func() (T, error)) (T, error) {
	pause := firstReadPause
	for attempt := 1; ; attempt++ {
		value, err := read()
		code := CodeOf(err)
		if attempt == maxReads || code != Ambiguous && code != Unreachable || ctx.Err() != nil || Untrusted(err) || down() {
			return value, err
		}
		if err := lockwait.Sleep(ctx, pause); err != nil {
			return value, err
		}
		pause *= 2
	}
}

// Untrusted reports whether a request failed because the server's certificate is not
// trusted.
func Untrusted(err error) bool {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return untrusted
}

// IsLoopback reports whether a host name means this machine, so that plain http is safe.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
