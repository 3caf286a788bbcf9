// Command node is a node of Larder: the researchers' HTTP endpoint, a member of
// the cluster and its memory tier, and, when no bucket is configured, an S3
// server inside the process. README.md says how to use it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// commands are what the binary can do; serving is what it does by default.
type commands struct {
	Serve   serveCmd   `cmd:"" default:"withargs" hidden:"" help:"Run a node (the default)."`
	S3      s3Cmd      `cmd:"" name:"s3" help:"Serve the embedded S3 on a port, for several nodes on one machine. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are its credentials."`
	Token   tokenCmd   `cmd:"" help:"Make a credential: prints the token and its entry for --tokens-file."`
	Check   checkCmd   `cmd:"" help:"Put, get, list and delete through a node, and report."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	parser, err := newParser()
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if err != nil {
		return fmt.Errorf("%w; '%s -h' explains every flag", err, commandOf(err))
	}
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run()
}

// commandOf is the command whose arguments were wrong, as a person types it.
func commandOf(err error) string {
	var wrong *kong.ParseError
	if errors.As(err, &wrong) && wrong.Context != nil {
		if chosen := wrong.Context.Selected(); chosen != nil && chosen.Name != "serve" {
			return "node " + chosen.Name
		}
	}
	return "node"
}

func newParser() (*kong.Kong, error) {
	return kong.New(&commands{},
		kong.Name("node"),
		kong.Description("A node of Larder, the shared cache of what an organisation has built. With no flags it runs alone, on loopback, and keeps its objects in ./larder-data. Every flag --some-name is also the variable LARDER_SOME_NAME."),
		kong.DefaultEnvars("LARDER"),
		kong.ExplicitGroups(flagGroups()),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 110}),
		kong.Help(help),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(readDuration)),
		kong.ShortUsageOnError(),
	)
}

// help explains the commands and, beside them, the flags of the one that runs by default.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	if ctx.Selected() != nil {
		return kong.DefaultHelpPrinter(options, ctx)
	}
	serve, err := kong.Trace(ctx.Kong, []string{"serve"})
	if err != nil {
		return err
	}
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	fmt.Fprintln(ctx.Stdout)
	return kong.DefaultHelpPrinter(options, serve)
}
