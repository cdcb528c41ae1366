package jobapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// oldAPI is the version of servers that do not tell one.
const oldAPI = "0.0.0"

// Ping finds out whether the server can be reached at all; it needs no token.
//
// GET /auth/configuration
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.signInConfig(ctx)
	return err
}

// User asks who the token belongs to, and which API the server speaks. What the
// server does not tell is taken from the token file.
//
// GET /api/v1; servers before API 0.0.1 have POST /v1/graphql instead.
func (c *Client) User(ctx context.Context) (User, error) {
	user, err := c.apiUser(ctx)
	if e, ok := errors.AsType[*ServerError](err); ok && e.Status == http.StatusNotFound {
		user, err = c.graphQLUser(ctx)
	}
	if err != nil {
		return User{}, err
	}
	c.mu.Lock()
	c.version = user.APIVersion
	c.mu.Unlock()
	name, email := c.tokens.owner()
	if user.Name == "" {
		user.Name = name
	}
	if user.Email == "" {
		user.Email = email
	}
	return user, nil
}

func (c *Client) apiUser(ctx context.Context) (User, error) {
	var answer struct {
		Username loose `json:"username"`
		Version  loose `json:"api_version"`
	}
	if err := c.fetch(ctx, c.get("ask who is signed in", nil, "api", "v1"), &answer); err != nil {
		return User{}, err
	}
	user := User{Name: answer.Username.text(), APIVersion: answer.Version.text()}
	if user.APIVersion == "" {
		user.APIVersion = oldAPI
	}
	return user, nil
}

const userQuery = "query UserInfo { users { id username name info: emails { email } } }"

func (c *Client) graphQLUser(ctx context.Context) (User, error) {
	query, err := json.Marshal(map[string]any{"operationName": nil, "variables": map[string]any{}, "query": userQuery})
	if err != nil {
		return User{}, err
	}
	r := c.get("ask who is signed in", nil, "v1", "graphql").withBody(query)
	r.method = http.MethodPost
	r.header = http.Header{"X-Hasura-Role": {"jhuser"}}
	var answer struct {
		Data struct {
			Users []struct {
				Username loose `json:"username"`
				Info     []struct {
					Email loose `json:"email"`
				} `json:"info"`
			} `json:"users"`
		} `json:"data"`
	}
	if err := c.fetch(ctx, r, &answer); err != nil {
		return User{}, err
	}
	if len(answer.Data.Users) != 1 {
		return User{}, &ServerError{What: r.what, Host: c.base.Host, Status: http.StatusOK, Err: errors.New("not one user")}
	}
	user := User{Name: answer.Data.Users[0].Username.text(), APIVersion: oldAPI}
	for _, info := range answer.Data.Users[0].Info {
		if user.Email == "" {
			user.Email = info.Email.text()
		}
	}
	return user, nil
}

// Registries returns the package registries that the server's jobs can install from.
//
// GET /app/packages/registries
func (c *Client) Registries(ctx context.Context) ([]Registry, error) {
	var answer struct {
		Registries []struct {
			Name loose `json:"name"`
			UUID loose `json:"uuid"`
		} `json:"registries"`
	}
	if err := c.fetch(ctx, c.get("list the package registries", nil, "app", "packages", "registries"), &answer); err != nil {
		return nil, err
	}
	registries := []Registry{}
	for _, r := range answer.Registries {
		if r.Name.text() != "" || r.UUID.text() != "" {
			registries = append(registries, Registry{Name: r.Name.text(), UUID: r.UUID.text()})
		}
	}
	return registries, nil
}

// owner returns the user's name and address as the token file has them.
func (t *tokens) owner() (name, email string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		return "", ""
	}
	return t.last.text("user_name"), t.last.text("user_email")
}
