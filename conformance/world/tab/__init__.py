"""Browser tabs behind one protocol: websocket-client under our codec, and stomp.py."""
