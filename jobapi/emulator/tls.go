package emulator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificateLife is how long a generated certificate is good for.
const certificateLife = 365 * 24 * time.Hour

// tlsConfig is the TLS of every listener. Its certificate is made when it is
// needed first: for the host, loopback and the names of jobs with exposed ports.
// It is left as certificate.pem in the state's directory.
func (e *Emulator) tlsConfig(host string) (*tls.Config, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tls != nil {
		return e.tls, nil
	}
	config, err := e.makeCertificate(host)
	e.tls = config
	return config, err
}

func (e *Emulator) makeCertificate(host string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the emulator's certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "juliahub-lsp emulator"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
		DNSNames: []string{"localhost", "*" + launchDomain}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for i := range extraAddresses {
		template.IPAddresses = append(template.IPAddresses, extraAddress(i))
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else {
		template.DNSNames = append(template.DNSNames, host)
	}
	// mbedTLS before 3.4, which HTTP.jl may bring along, compares an address with
	// the DNS names only.
	for _, ip := range template.IPAddresses {
		template.DNSNames = append(template.DNSNames, ip.String())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make the emulator's certificate: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(e.certificatePath(), text, 0o600); err != nil {
		return nil, fmt.Errorf("write the emulator's certificate: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}, nil
}

func (e *Emulator) certificatePath() string { return filepath.Join(e.dir, "certificate.pem") }

// CertificatePEM is the certificate that clients have to trust after Start with
// TLS, nil when there is none.
func (e *Emulator) CertificatePEM() ([]byte, error) {
	text, err := os.ReadFile(e.certificatePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("read the emulator's certificate: %w", err)
	}
	return text, nil
}
