// Asks a `keras-llm serve` to continue a text, with Go's own library only.
//
//	go run ask.go http://127.0.0.1:8000 "Once upon a time"
//
// KERAS_LLM_TOKEN is sent where the server wants one. The answer is printed
// as it comes, part by part.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// A part of an answer, or the one of a whole one.
type completion struct {
	Choices []struct {
		Text string `json:"text"`
	} `json:"choices"`
}

func fail(reason any) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}

func ask(address, prompt string) (*http.Response, error) {
	body, err := json.Marshal(map[string]any{
		"prompt": prompt, "max_tokens": 32, "seed": 1, "stream": true,
	})
	if err != nil {
		return nil, err
	}
	path := address + "/v1/completions"
	request, err := http.NewRequest("POST", path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("KERAS_LLM_TOKEN"))
	return http.DefaultClient.Do(request)
}

func main() {
	if len(os.Args) != 3 {
		fail("Usage: ask ADDRESS PROMPT")
	}
	answer, err := ask(os.Args[1], os.Args[2])
	if err != nil {
		fail(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body) // a sentence about what is wrong
		fail(string(text))
	}
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		line := lines.Text()
		data := strings.TrimPrefix(line, "data: ")
		if data == line || data == "[DONE]" {
			continue
		}
		var part completion
		if err := json.Unmarshal([]byte(data), &part); err != nil {
			fail(err)
		}
		for _, choice := range part.Choices {
			fmt.Print(choice.Text)
		}
	}
	if err := lines.Err(); err != nil {
		fail(err)
	}
}
