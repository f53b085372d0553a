package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// commandTime is how long a command may take, as it is in the plugins' clients.
const commandTime = 5 * time.Second

// client sends commands to a Redis, one at a time over one connection, which it
// makes again after an error.
type client struct {
	addr string

	mu     sync.Mutex
	conn   net.Conn
	reader *bufio.Reader
}

// errNil is the reply for a key that does not exist.
var errNil = errors.New("redis: nil")

// do sends a command and returns its reply: a string, an int64 or a []any.
func (c *client) do(ctx context.Context, args ...string) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.conn == nil {
		conn, err := (&net.Dialer{Timeout: commandTime}).DialContext(ctx, "tcp", c.addr)
		if err != nil {
			return nil, err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	deadline := time.Now().Add(commandTime)
	if earlier, ok := ctx.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}
	reply, err := c.exchange(deadline, args)
	if err != nil && !errors.Is(err, errNil) {
		_ = c.conn.Close()
		c.conn = nil
	}
	return reply, err
}

func (c *client) exchange(deadline time.Time, args []string) (any, error) {
	if err := c.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	var command strings.Builder
	fmt.Fprintf(&command, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(c.conn, command.String()); err != nil {
		return nil, err
	}
	return readReply(c.reader)
}

func readReply(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return nil, errors.New("redis: an empty reply")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, errors.New("redis: " + rest)
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return nil, err
	}
	switch {
	case kind == ':':
		return n, nil
	case n < 0:
		return nil, errNil
	case kind == '$':
		text := make([]byte, n+2)
		_, err := io.ReadFull(r, text)
		return string(text[:n]), err
	}
	list := make([]any, n)
	for i := range list {
		if list[i], err = readReply(r); err != nil && !errors.Is(err, errNil) {
			return nil, err
		}
	}
	return list, nil
}
