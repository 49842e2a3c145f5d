// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

// A server in Ollama's shape, with nothing to compute: the wire and the processes are what is wanted of it.
//
// ollama_shape serve PORT: the front. /api/chat and /api/generate, lines of JSON or one object. It starts a runner as
// its child when the first query comes, and asks it for each query, by a connection of its own, always for a stream.
// ollama_shape runner --port PORT: what computes: /health, /tokenize, and /completion in llama.cpp's words.
//
// A prompt has as many tokens as words, and one in eight of them comes from a cache; an answer has as many as asked for.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const step = 40 * time.Millisecond // of one token

type object = map[string]any

func send(w io.Writer, prefix string, o object, suffix string) {
	b, _ := json.Marshal(o)
	io.WriteString(w, prefix+string(b)+suffix)
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// runner

func tokenize(w http.ResponseWriter, r *http.Request) {
	var q struct{ Content string }
	json.NewDecoder(r.Body).Decode(&q)
	tokens := []int{}
	for i := range strings.Fields(q.Content) {
		tokens = append(tokens, i)
	}
	w.Header().Set("Content-Type", "application/json")
	send(w, "", object{"tokens": tokens}, "\n")
}

func completion(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Prompt   string
		NPredict int `json:"n_predict"`
	}
	json.NewDecoder(r.Body).Decode(&q)
	n := len(strings.Fields(q.Prompt))
	cached := n / 8
	begin := time.Now()
	w.Header().Set("Content-Type", "text/event-stream")
	w.(http.Flusher).Flush()
	time.Sleep(time.Duration(n-cached) * step / 8)
	prompt := time.Since(begin)
	for i := 0; i < q.NPredict; i++ {
		send(w, "data: ", object{"index": 0, "content": " word", "tokens": []int{i}, "stop": false, "id_slot": 0,
			"tokens_predicted": i + 1, "tokens_evaluated": n}, "\n\n")
		select {
		case <-r.Context().Done(): // nobody waits for it any more
			return
		case <-time.After(step):
		}
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
	send(w, "data: ", object{"index": 0, "content": "", "tokens": []int{}, "stop": true, "stop_type": "limit",
		"model": "/blobs/sha256-1", "tokens_predicted": q.NPredict, "tokens_evaluated": n,
		"timings": object{"cache_n": cached, "prompt_n": n - cached, "prompt_ms": ms(prompt),
			"predicted_n": q.NPredict, "predicted_ms": ms(time.Since(begin) - prompt)}}, "\n\n")
}

func runner(port string) error {
	http.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"status":"ok"}`) })
	http.HandleFunc("/tokenize", tokenize)
	http.HandleFunc("/completion", completion)
	go func() { // the front has gone
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.ListenAndServe("127.0.0.1:"+port, nil)
}

// front

type front struct {
	lock   sync.Mutex
	runner string         // its address, once it runs
	alive  io.WriteCloser // closed when this process ends, and then the runner ends
	client http.Client
}

// The runner's address; starts it if there is none.
func (f *front) load() (string, error) {
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.runner != "" {
		return f.runner, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	at := l.Addr().String()
	l.Close()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(self, "runner", "--port", at[strings.LastIndex(at, ":")+1:])
	cmd.Stderr = os.Stderr
	if f.alive, err = cmd.StdinPipe(); err != nil {
		return "", err
	}
	if err = cmd.Start(); err != nil {
		return "", err
	}
	for i := 0; i < 500; i++ {
		if r, err := f.client.Get("http://" + at + "/health"); err == nil {
			r.Body.Close()
			f.runner = "http://" + at
			return f.runner, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return "", fmt.Errorf("the runner does not start")
}

// Until the client that this is for goes away.
func (f *front) post(for_ *http.Request, to string, o object) (*http.Response, error) {
	b, _ := json.Marshal(o)
	r, err := http.NewRequestWithContext(for_.Context(), "POST", to, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	return f.client.Do(r)
}

type query struct {
	Model    string
	Prompt   string
	Messages []struct{ Content string }
	Stream   *bool
	Options  struct {
		NumPredict int `json:"num_predict"`
	}
}

type event struct {
	Content         string
	Stop            bool
	TokensPredicted int `json:"tokens_predicted"`
	TokensEvaluated int `json:"tokens_evaluated"`
	Timings         struct {
		PromptMS    float64 `json:"prompt_ms"`
		PredictedMS float64 `json:"predicted_ms"`
	}
}

// An object of the answer: a part of the text, or the end with the counts.
func (q *query) part(text string, chat bool) object {
	o := object{"model": q.Model, "created_at": time.Now().UTC(), "done": false}
	if chat {
		o["message"] = object{"role": "assistant", "content": text}
	} else {
		o["response"] = text
	}
	return o
}

func (q *query) last(text string, chat bool, e *event, begin time.Time) object {
	o := q.part(text, chat)
	o["done"], o["done_reason"] = true, "length"
	o["total_duration"], o["load_duration"] = time.Since(begin), 1000
	o["prompt_eval_count"], o["eval_count"] = e.TokensEvaluated, e.TokensPredicted
	o["prompt_eval_duration"], o["eval_duration"] = int64(e.Timings.PromptMS*1e6), int64(e.Timings.PredictedMS*1e6)
	return o
}

func (f *front) answer(w http.ResponseWriter, r *http.Request, chat bool) error {
	var q query
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return err
	}
	for _, m := range q.Messages {
		q.Prompt += m.Content
	}
	begin := time.Now()
	to, err := f.load()
	if err != nil {
		return err
	}
	for _, path := range []string{"/tokenize", "/completion"} {
		in, err := f.post(r, to+path, object{"content": q.Prompt, "prompt": q.Prompt, "stream": true,
			"n_predict": q.Options.NumPredict, "cache_prompt": true})
		if err != nil {
			return err
		}
		defer in.Body.Close()
		if path == "/completion" {
			return q.relay(w, in.Body, chat, begin)
		}
		io.Copy(io.Discard, in.Body)
	}
	return nil
}

func (q *query) relay(w http.ResponseWriter, in io.Reader, chat bool, begin time.Time) error {
	streamed := q.Stream == nil || *q.Stream
	all := ""
	w.Header().Set("Content-Type", "application/x-ndjson")
	if !streamed {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var e event
		if !strings.HasPrefix(lines.Text(), "data: ") || json.Unmarshal(lines.Bytes()[6:], &e) != nil {
			continue
		}
		all += e.Content
		switch {
		case e.Stop && streamed:
			send(w, "", q.last("", chat, &e, begin), "\n")
		case e.Stop:
			b, _ := json.Marshal(q.last(all, chat, &e, begin))
			w.Write(b)
		case streamed:
			send(w, "", q.part(e.Content, chat), "\n")
		}
	}
	return lines.Err()
}

func (f *front) handle(path string, chat bool) {
	http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if err := f.answer(w, r, chat); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

func serve(port string) error {
	f := &front{client: http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	f.handle("/api/chat", true)
	f.handle("/api/generate", false)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "is running") })
	return http.ListenAndServe("127.0.0.1:"+port, nil)
}

func main() {
	err := fmt.Errorf("usage: ollama_shape serve PORT | runner --port PORT")
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		err = serve(os.Args[2])
	} else if len(os.Args) == 4 && os.Args[1] == "runner" {
		err = runner(os.Args[3])
	}
	fmt.Fprintln(os.Stderr, "ollama_shape:", err)
	os.Exit(1)
}
