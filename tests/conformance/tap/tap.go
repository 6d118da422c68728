// Package tap prints TAP for the programs of runtime-tools, which import github.com/mndrix/tap-go. Debian
// has no package of that, so runtime-tools.sh puts this in its place: the calls that the suite makes.
package tap

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// T counts and prints the tests of one program.
type T struct {
	Writer io.Writer // standard output when nil
	made   *int      // shared with what Todo returned
	todo   string
}

// New begins at test 1.
func New() *T { return &T{made: new(int)} }

func (t *T) printf(format string, args ...interface{}) {
	w := t.Writer
	if w == nil {
		w = os.Stdout
	}
	fmt.Fprintf(w, format, args...)
}

func (t *T) result(ok bool, what string) {
	word := "ok"
	if !ok {
		word = "not ok"
	}
	*t.made++
	t.printf("%s %d%s\n", word, *t.made, what)
}

// Header names the version, and the number of tests where it is known already.
func (t *T) Header(count int) {
	t.printf("TAP version 13\n")
	if count > 0 {
		t.printf("1..%d\n", count)
	}
}

// AutoPlan says how many there have been.
func (t *T) AutoPlan() { t.printf("1..%d\n", *t.made) }

// Ok is a test that passes if it is true.
func (t *T) Ok(test bool, description string) { t.result(test, t.todo+" - "+description) }

// Pass is one that has passed.
func (t *T) Pass(description string) { t.Ok(true, description) }

// Fail is one that has failed.
func (t *T) Fail(description string) { t.Ok(false, description) }

// Todo marks what follows: a failure isn't one, as something is yet to be written.
func (t *T) Todo() *T { return &T{Writer: t.Writer, made: t.made, todo: " # TODO"} }

// Skip stands for tests that can't be made here.
func (t *T) Skip(count int, description string) {
	for i := 0; i < count; i++ {
		t.result(true, " # SKIP "+description)
	}
}

// Diagnostic says something beside the tests, each line behind a mark.
func (t *T) Diagnostic(message string) {
	t.printf("# %s\n", strings.ReplaceAll(strings.TrimRight(message, "\n"), "\n", "\n# "))
}

// Diagnosticf is Diagnostic with a format.
func (t *T) Diagnosticf(format string, args ...interface{}) {
	t.Diagnostic(fmt.Sprintf(format, args...))
}

// YAML explains the test before it; JSON is YAML.
func (t *T) YAML(message interface{}) error {
	text, err := json.MarshalIndent(message, "  ", "  ")
	if err == nil {
		t.printf("  ---\n  %s\n  ...\n", text)
	}
	return err
}
