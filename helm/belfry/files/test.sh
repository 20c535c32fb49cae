#!/bin/sh
# Connects to belfry, publishes to itself, and waits for the event: the whole way through Services and Redis.
# PUBLIC_URL has /ws, API_URL has REST. The token is in TOKEN_FILE, or is made (HS256) with the first key of
# SECRET_KEY_FILE. Needs sh, curl, od, base64 and sha256sum, such as busybox has them.
set -eu
work=$(mktemp -d)
socket=
trap '[ -z "$socket" ] || kill "$socket" 2>/dev/null; rm -rf "$work"' EXIT

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

hex() { od -An -v -tx1 | tr -d ' \n'; }

# Hexadecimal to bytes; printf of octal is the one way that every sh has.
bytes() {
    rest=$1
    while [ -n "$rest" ]; do
        tail=${rest#??}
        # shellcheck disable=SC2059
        printf "\\$(printf %03o "0x${rest%"$tail"}")"
        rest=$tail
    done
}

# Every byte of $1 (hexadecimal) exclusive-or $2.
xored() {
    rest=$1
    while [ -n "$rest" ]; do
        tail=${rest#??}
        printf %02x $((0x${rest%"$tail"} ^ $2))
        rest=$tail
    done
}

sha256() { sha256sum | cut -c1-64; }

# HMAC-SHA256 (RFC 2104) of standard input with the key in hexadecimal.
hmac() {
    key=$1
    [ ${#key} -le 128 ] || key=$(bytes "$key" | sha256)
    while [ ${#key} -lt 128 ]; do key=${key}00; done
    inner=$({ bytes "$(xored "$key" 0x36)"; cat; } | sha256)
    { bytes "$(xored "$key" 0x5c)"; bytes "$inner"; } | sha256
}

base64url() { base64 | tr -d '\n=' | tr '+/' '-_'; }

make_token() {
    line=$(grep -v '^[[:space:]]*\(#\|$\)' "$SECRET_KEY_FILE" | head -n 1 | sed 's/^[[:space:]]*//; s/[[:space:]]*$//')
    kid=
    secret=$line
    case $line in *:*) kid=${line%%:*} secret=${line#*:} ;; esac
    header='{"alg":"HS256","typ":"JWT"'${kid:+',"kid":"'$kid'"'}'}'
    claims='{"sub":"'$user'","scope":"events:publish","exp":'$(($(date +%s) + 300))
    claims=$claims${JWT_ISSUER:+',"iss":"'$JWT_ISSUER'"'}${JWT_AUDIENCE:+',"aud":"'$JWT_AUDIENCE'"'}'}'
    signed=$(printf %s "$header" | base64url).$(printf %s "$claims" | base64url)
    mac=$(printf %s "$signed" | hmac "$(printf %s "$secret" | hex)")
    printf %s "$signed.$(bytes "$mac" | base64url)"
}

# A Service's name stands in no certificate, so it is not compared; HTTP/1.1, since WebSockets are an upgrade of it.
request() {
    curl -sS -k -N --http1.1 ${proxy_line:+"$proxy_line"} -H "@$work/authorization" "$@"
}

wait_for() {
    tries=0
    until grep -a -q "$1" "$work/socket" 2>/dev/null; do
        tries=$((tries + 1))
        if [ $tries -ge 40 ] || { [ $tries -gt 2 ] && ! kill -0 "$socket" 2>/dev/null; }; then
            cat "$work/socket" "$work/socket.err" | tr -cd '\n -~' >&2
            echo >&2
            fail "no $2"
        fi
        sleep 0.5
    done
    echo "ok: $2"
}

nonce=$(head -c 16 /dev/urandom | hex)
user=helm-test-$nonce
proxy_line=
[ "${PROXY_PROTOCOL:-off}" != v1 ] || proxy_line=--haproxy-protocol
if [ -n "${TOKEN_FILE:-}" ]; then
    token=$(tr -d ' \n' <"$TOKEN_FILE")
elif [ -n "${SECRET_KEY_FILE:-}" ] && [ "$ALGORITHM" = HS256 ]; then
    token=$(make_token)
else
    fail "tokens are $ALGORITHM, and this pod can make HS256 with a key from a Secret only: set tests.tokenSecret"
fi
# In a file: the arguments of a process are for everybody to see.
printf 'Authorization: Bearer %s\n' "$token" >"$work/authorization"

# The socket: what the server sends is plain text between frame heads, and that is enough for grep.
request -i --max-time 60 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
    -H "Sec-WebSocket-Key: $(head -c 16 /dev/urandom | base64)" "$PUBLIC_URL/ws" >"$work/socket" 2>"$work/socket.err" &
socket=$!
wait_for '"type":"welcome"' "welcome on $PUBLIC_URL/ws"
connection=$(grep -a -o '"connection_id":"[^"]*"' "$work/socket" | head -n 1 | cut -d '"' -f 4)

status=$(request -o "$work/answer" -w '%{http_code}' -H 'Content-Type: application/json' "$API_URL/events" --data-binary \
    '{"type":"helm.test","data":{"nonce":"'"$nonce"'"},"audience":{"connection":"'"$connection"'"},"replay":false}')
[ "$status" = 202 ] || { cat "$work/answer" >&2; fail "POST $API_URL/events answers $status"; }
echo "ok: published to $API_URL/events"
wait_for "$nonce" "the event arrives"

status=$(request -o /dev/null -w '%{http_code}' "$PUBLIC_URL/ws/health")
[ "$status" = 200 ] || fail "GET $PUBLIC_URL/ws/health answers $status"
echo "ok: healthy"
