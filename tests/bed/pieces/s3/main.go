// An object store in memory that checks signatures: what `rclone serve s3` serves, without rclone's backends.
//
//	s3 ADDRESS OPEN-ADDRESS ACCESS-KEY SECRET-KEY BUCKET
//
// At the open address it asks for no signature: tests look there for what was stored.
package main

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

func main() {
	address, open, access, secret, bucket := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	backend := s3mem.New()
	if err := backend.CreateBucket(context.Background(), bucket); err != nil {
		log.Fatal(err)
	}
	go func() {
		log.Fatal(http.ListenAndServe(open, gofakes3.New(backend).Server()))
	}()
	keys := gofakes3.WithV4Auth(map[string]string{access: secret})
	log.Fatal(http.ListenAndServe(address, gofakes3.New(backend, keys).Server()))
}
