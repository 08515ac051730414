// A client of the endpoint in Go, of the standard library alone.
//
//	RAYRANK_API_KEY=… go run examples/rank_client.go http://127.0.0.1:8000 runs/demo/request.json
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Ranked is an answer: what was scored, by which version.
type Ranked struct {
	Model  struct{ Name, Version, Schema string }
	Items  []any // integers or strings, as they were asked for
	Scores map[string][]float64
}

// Refused is an error of the endpoint, in the one form that there is.
type Refused struct {
	Status int
	Field  string `json:"field"`
	Text   string `json:"message"`
	ID     string `json:"request_id"`
}

func (r *Refused) Error() string {
	return fmt.Sprintf("%d %s: %s (request %s)", r.Status, r.Field, r.Text, r.ID)
}

// Statuses after which the same request may succeed; any other 4xx will be refused again.
var again = map[int]bool{408: true, 429: true, 502: true, 503: true, 504: true}

// Rank asks until there is an answer, or the context's deadline has come. Connections are kept by
// the client: use one for many requests.
func Rank(ctx context.Context, client *http.Client, url, key string, body []byte) (*Ranked, error) {
	for {
		request, err := http.NewRequestWithContext(ctx, "POST", url+"/v1/rank", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+key)
		request.Header.Set("Content-Type", "application/json")
		if deadline, ok := ctx.Deadline(); ok {
			left := time.Until(deadline).Milliseconds()
			request.Header.Set("X-Timeout-Ms", strconv.FormatInt(max(left, 1), 10))
		}
		pause := 50 * time.Millisecond
		refused, ranked, err := send(client, request, &pause)
		if ranked != nil {
			return ranked, nil
		}
		if refused != nil && !again[refused.Status] {
			return nil, refused
		}
		select { // a replica that went, or one that asks for patience
		case <-ctx.Done():
			if refused != nil {
				return nil, refused
			}
			return nil, err
		case <-time.After(pause):
		}
	}
}

func send(client *http.Client, request *http.Request, pause *time.Duration) (*Refused, *Ranked, error) {
	answer, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode == http.StatusOK {
		ranked := new(Ranked)
		return nil, ranked, json.Unmarshal(content, ranked)
	}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil {
		*pause = time.Duration(seconds) * time.Second
	}
	told := struct{ Error Refused }{Refused{Field: "(proxy)", Text: string(content)}}
	_ = json.Unmarshal(content, &told) // of a proxy in between it is no JSON
	told.Error.Status = answer.StatusCode
	return &told.Error, nil, nil
}

func max(a, b int64) int64 {
	if a > b {
		return a
	}
	return b
}

func main() {
	body, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	ranked, err := Rank(ctx, http.DefaultClient, os.Args[1], os.Getenv("RAYRANK_API_KEY"), body)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("version %s scored %d items\n", ranked.Model.Version, len(ranked.Items))
}
