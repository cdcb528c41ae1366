package emulator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// clock is a clock that moves when it is told to.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func (b *bench) form(path string, fields ...string) (answer, map[string]any) {
	b.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	a := b.do("POST", path, strings.NewReader(values.Encode()), "Content-Type", "application/x-www-form-urlencoded", "Authorization", "")
	var m map[string]any
	_ = json.Unmarshal([]byte(a.body), &m)
	return a, m
}

// device starts a device flow and returns its codes and how to poll it.
func (b *bench) device() (userCode string, poll func() (answer, map[string]any)) {
	b.t.Helper()
	var config struct {
		Flows   []string `json:"auth_flows"`
		Device  string   `json:"device_authorization_endpoint"`
		Token   string   `json:"device_token_endpoint"`
		Refresh string   `json:"device_token_refresh_url"`
		Scope   string   `json:"device_token_scope"`
	}
	b.get("/auth/configuration", &config)
	a, m := b.form(config.Device, "client_id", "device", "scope", config.Scope)
	if a.StatusCode != 200 || m["interval"] != 5.0 || m["expires_in"] != 600.0 {
		b.t.Fatalf("device code: %d %s", a.StatusCode, a.body)
	}
	code := m["user_code"].(string)
	if m["verification_uri"] != b.url+"/auth/device" || m["verification_uri_complete"] != b.url+"/auth/device?user_code="+code {
		b.t.Errorf("addresses: %s", a.body)
	}
	return code, func() (answer, map[string]any) {
		return b.form(config.Token, "client_id", "device", "grant_type", deviceGrant, "device_code", m["device_code"].(string))
	}
}

func TestDeviceFlow(t *testing.T) {
	c := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b := open(t, Config{Now: c.now})
	code, poll := b.device()
	wantError := func(want string) {
		t.Helper()
		if a, m := poll(); a.StatusCode != 400 || m["error"] != want {
			t.Errorf("poll: %d %s, want %s", a.StatusCode, a.body, want)
		}
	}
	wantError("authorization_pending")
	c.t = c.t.Add(time.Second)
	wantError("slow_down")
	c.t = c.t.Add(6 * time.Second)
	wantError("slow_down") // the interval is 10 s by now
	c.t = c.t.Add(15 * time.Second)
	wantError("authorization_pending")

	if a := b.do("GET", "/auth/device", nil, "Authorization", ""); a.StatusCode != 200 || !strings.Contains(a.body, `name="user_code"`) {
		t.Errorf("page without a code: %d %s", a.StatusCode, a.body)
	}
	page := b.do("GET", "/auth/device?user_code="+strings.ToLower(code), nil, "Authorization", "")
	if page.StatusCode != 200 || !strings.Contains(page.body, code) || !strings.Contains(page.body, "Allow") {
		t.Errorf("page: %d %s", page.StatusCode, page.body)
	}
	c.t = c.t.Add(20 * time.Second)
	wantError("authorization_pending") // looking at the page approves nothing
	action := regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(page.body)[1]
	if a, _ := b.form(action, "user_code", code, "action", "approve"); a.StatusCode != 200 || !strings.Contains(a.body, "signed in") {
		t.Errorf("approve: %d %s", a.StatusCode, a.body)
	}
	c.t = c.t.Add(20 * time.Second)
	a, m := poll()
	if a.StatusCode != 200 || m["token_type"] != "bearer" || m["expires_in"] != 3600.0 || m["refresh_token"] == "" {
		t.Fatalf("token: %d %s", a.StatusCode, a.body)
	}
	if _, there := m["refresh_url"]; there {
		t.Error("the device flow's answer has no refresh_url: the configuration has it")
	}
	if a := b.do("GET", "/api/v1", nil, "Authorization", "Bearer "+m["id_token"].(string)); a.StatusCode != 200 {
		t.Errorf("id token: %d", a.StatusCode)
	}
	if a := b.do("GET", "/auth/renew/token.toml/device/", nil, "Authorization", "Bearer "+m["refresh_token"].(string)); a.StatusCode != 200 || parseAuth(t, a.body).RefreshURL != b.url+"/auth/renew/token.toml/device/" {
		t.Errorf("refresh: %d %s", a.StatusCode, a.body)
	}
	wantError("invalid_grant") // a device code is good once
}

func TestDeviceFlowEndsBadly(t *testing.T) {
	c := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	b := open(t, Config{Now: c.now})
	code, poll := b.device()
	if a := b.do("POST", "/emulator/approve", strings.NewReader(`{"user_code":"`+code+`","deny":true}`)); a.StatusCode != 200 {
		t.Errorf("deny: %d %s", a.StatusCode, a.body)
	}
	if _, m := poll(); m["error"] != "access_denied" {
		t.Errorf("denied: %v", m)
	}
	code, poll = b.device()
	c.t = c.t.Add(11 * time.Minute)
	if _, m := poll(); m["error"] != "expired_token" {
		t.Errorf("expired: %v", m)
	}
	if a, _ := b.form("/auth/device", "user_code", code, "action", "approve"); a.StatusCode != 404 {
		t.Errorf("approving too late: %d", a.StatusCode)
	}
	for want, fields := range map[string][]string{
		"invalid_client": {"client_id", "x"}, "invalid_scope": {"client_id", "device", "scope", "x"}, "invalid_request": {"client_id", "device", "client_id", "device"},
	} {
		if a, m := b.form("/auth/device/code", fields...); a.StatusCode != 400 || m["error"] != want {
			t.Errorf("want %s: %d %s", want, a.StatusCode, a.body)
		}
	}
	if _, m := b.form("/auth/token", "client_id", "device", "grant_type", "x", "device_code", "y"); m["error"] != "unsupported_grant_type" {
		t.Errorf("grant type: %v", m)
	}
	if a := b.do("POST", "/auth/token", strings.NewReader(`{}`)); a.StatusCode != 400 {
		t.Errorf("no form: %d", a.StatusCode)
	}
}

func TestClassicFlow(t *testing.T) {
	b := open(t, Config{})
	challenge := strings.Repeat("c", 32)
	start := b.do("POST", "/auth/challenge", strings.NewReader(challenge), "Authorization", "")
	claim := func(challenge, response string) (answer, map[string]any) {
		body, err := json.Marshal(map[string]string{"challenge": challenge, "response": response})
		if err != nil {
			t.Fatal(err)
		}
		a := b.do("POST", "/auth/claimtoken", strings.NewReader(string(body)), "Authorization", "")
		var m map[string]any
		_ = json.Unmarshal([]byte(a.body), &m)
		return a, m
	}
	if a, m := claim(challenge, start.body); a.StatusCode != 200 || m["expiry"].(float64) < float64(time.Now().Unix()) {
		t.Errorf("before: %d %s", a.StatusCode, a.body)
	}
	if a := b.do("GET", "/auth/response?"+start.body, nil, "Authorization", ""); a.StatusCode != 200 || !strings.Contains(a.body, "signed in") {
		t.Errorf("browser: %d %s", a.StatusCode, a.body)
	}
	if a, _ := claim("x"+challenge[1:], start.body); a.StatusCode != 400 {
		t.Errorf("another challenge: %d", a.StatusCode)
	}
	a, m := claim(challenge, start.body)
	token, _ := m["token"].(map[string]any)
	if a.StatusCode != 200 || token["refresh_url"] != b.url+"/auth/renew/token.toml/v2/" || token["user_name"] != userName {
		t.Fatalf("claim: %d %s", a.StatusCode, a.body)
	}
	if a := b.do("GET", "/api/v1", nil, "Authorization", "Bearer "+token["id_token"].(string)); a.StatusCode != 200 {
		t.Errorf("id token: %d", a.StatusCode)
	}
	if a := b.do("POST", "/auth/challenge", strings.NewReader("short")); a.StatusCode != 400 {
		t.Errorf("short challenge: %d", a.StatusCode)
	}
}

// A page of another site that made its name point here approves nothing.
func TestSignInPageKnowsItsName(t *testing.T) {
	b := open(t, Config{})
	code, _ := b.device()
	req, err := http.NewRequestWithContext(t.Context(), "POST", b.url+"/auth/device", strings.NewReader("action=approve&user_code="+code))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != 403 {
		t.Errorf("%d %s %v", resp.StatusCode, text, err)
	}
	if err := b.Approve(code, true); err != nil {
		t.Errorf("the sign-in was decided: %v", err)
	}
}
