"""What an evaluation talks to: model servers, judges, scorers over HTTP, the sandbox and files."""
