"""Every class of malformed request: the right status, the connection closed, nothing after it taken as a request."""

import time

import pytest

OK = "GET /hello HTTP/1.1\r\nHost: a\r\n"
POST = "POST /echo HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"

# name: (the request, the statuses that are right)
REQUESTS = {
    # The request line.
    "no_version": ("GET /hello\r\nHost: a\r\n\r\n", [400]),
    "two_spaces": ("GET  /hello HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "space_before_the_version": ("GET /hello  HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "space_after_the_version": ("GET /hello HTTP/1.1 \r\nHost: a\r\n\r\n", [400]),
    "space_before_the_method": (" GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "tabs_instead_of_spaces": ("GET\t/hello\tHTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "a_space_in_the_target": ("GET /hel lo HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "a_method_that_is_no_token": ("G@T /hello HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "a_method_with_a_colon": ("GET: /hello HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "no_target": ("GET HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "a_target_without_a_slash": ("GET hello HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "a_control_in_the_target": ("GET /hel\x01lo HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "a_nul_in_the_target": ("GET /hel\0lo HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "a_del_in_the_target": ("GET /hel\x7flo HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "a_bare_cr_in_the_target": ("GET /hel\rlo HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "a_lower_case_version": ("GET /hello http/1.1\r\nHost: a\r\n\r\n", [400]),
    "a_version_of_two_digits": ("GET /hello HTTP/1.10\r\nHost: a\r\n\r\n", [400]),
    "a_version_of_letters": ("GET /hello HTTP/x.y\r\nHost: a\r\n\r\n", [400]),
    "a_version_without_a_minor": ("GET /hello HTTP/1\r\nHost: a\r\n\r\n", [400]),
    "another_protocol": ("GET /hello RTSP/1.0\r\nHost: a\r\n\r\n", [400]),
    "version_2": ("GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", [505]),
    "version_0_9": ("GET /hello HTTP/0.9\r\nHost: a\r\n\r\n", [505, 400]),
    "a_tls_handshake": ("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]),
    "rubbish": ("\xff\xfe\xfd\r\n\r\n", [400]),
    # Line ends.
    "bare_lf_after_the_request_line": ("GET /hello HTTP/1.1\nHost: a\r\n\r\n", [400]),
    "bare_lf_after_a_field": (OK + "X: y\nZ: z\r\n\r\n", [400]),
    "bare_lf_at_the_end": (OK + "\n", [400]),
    "bare_lf_everywhere": ("GET /hello HTTP/1.1\nHost: a\n\n", [400]),
    "bare_cr_in_a_field": (OK + "X: a\rb\r\n\r\n", [400]),
    "cr_cr_lf": (OK + "X: a\r\r\n\r\n", [400]),
    # Fields.
    "no_host": ("GET /hello HTTP/1.1\r\n\r\n", [400]),
    "two_hosts": (OK + "Host: b\r\n\r\n", [400]),
    "two_equal_hosts": (OK + "Host: a\r\n\r\n", [400]),
    "a_host_with_a_space": ("GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", [400]),
    "a_host_with_a_slash": ("GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", [400]),
    "a_host_with_a_user": ("GET /hello HTTP/1.1\r\nHost: me@a\r\n\r\n", [400]),
    "a_host_with_a_bad_port": ("GET /hello HTTP/1.1\r\nHost: a:b\r\n\r\n", [400]),
    "a_bad_host_in_the_target": ("GET http://a b/ HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "space_before_the_colon": (OK + "X : y\r\n\r\n", [400]),
    "tab_before_the_colon": (OK + "X\t: y\r\n\r\n", [400]),
    "a_folded_field": (OK + "X: y\r\n z\r\n\r\n", [400]),
    "a_fold_as_the_first_line": ("GET /hello HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", [400]),
    "no_colon": (OK + "Xy\r\n\r\n", [400]),
    "an_empty_name": (OK + ": y\r\n\r\n", [400]),
    "a_name_that_is_no_token": (OK + "X(y): z\r\n\r\n", [400]),
    "a_name_that_is_not_ascii": (OK + "X\xe9: z\r\n\r\n", [400]),
    "a_nul_in_a_value": (OK + "X: a\0b\r\n\r\n", [400]),
    "a_control_in_a_value": (OK + "X: a\x01b\r\n\r\n", [400]),
    "a_del_in_a_value": (OK + "X: a\x7fb\r\n\r\n", [400]),
    "an_expectation_nobody_knows": (OK + "Expect: miracles\r\n\r\n", [417]),
    # Content-Length.
    "two_lengths": (POST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", [400]),
    "two_equal_lengths": (POST + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", [400]),
    "a_list_of_lengths": (POST + "Content-Length: 5, 5\r\n\r\nhello", [400]),
    "a_signed_length": (POST + "Content-Length: +5\r\n\r\nhello", [400]),
    "a_negative_length": (POST + "Content-Length: -5\r\n\r\nhello", [400]),
    "a_hexadecimal_length": (POST + "Content-Length: 0x5\r\n\r\nhello", [400]),
    "a_length_with_an_underscore": (POST + "Content-Length: 1_0\r\n\r\nhellohello", [400]),
    "a_length_with_a_space": (POST + "Content-Length: 5 5\r\n\r\nhello", [400]),
    "a_length_with_a_point": (POST + "Content-Length: 5.0\r\n\r\nhello", [400]),
    "an_empty_length": (POST + "Content-Length: \r\n\r\n", [400]),
    "a_length_of_other_digits": (POST + "Content-Length: \xb2\r\n\r\nhello", [400]),
    "a_length_beyond_all_numbers": (POST + "Content-Length: 99999999999999999999999\r\n\r\n", [400, 413]),
    # Transfer-Encoding.
    "length_and_coding": (POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
    "coding_and_length": (POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", [400]),
    "coding_on_http_1_0": ("POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400]),
    "an_unknown_coding": (POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [501, 400]),
    "gzip_coding": (POST + "Transfer-Encoding: gzip\r\n\r\n", [501, 400]),
    "gzip_and_chunked": (POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [501, 400]),
    "chunked_not_last": (POST + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", [400, 501]),
    "chunked_twice": (POST + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", [400, 501]),
    "two_codings": (POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400, 501]),
    "identity": (POST + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", [400, 501]),
    "an_empty_coding": (POST + "Transfer-Encoding: \r\n\r\n0\r\n\r\n", [400, 501]),
    "a_coding_with_a_control": (POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", [400]),
    "a_quoted_coding": (POST + 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', [400, 501]),
    "a_coding_with_parameters": (POST + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", [400, 501]),
    # Chunks.
    "a_chunk_size_of_letters": (CHUNKED + "zz\r\nhello\r\n0\r\n\r\n", [400]),
    "a_negative_chunk_size": (CHUNKED + "-5\r\nhello\r\n0\r\n\r\n", [400]),
    "a_signed_chunk_size": (CHUNKED + "+5\r\nhello\r\n0\r\n\r\n", [400]),
    "a_prefixed_chunk_size": (CHUNKED + "0x5\r\nhello\r\n0\r\n\r\n", [400]),
    "a_chunk_size_with_an_underscore": (CHUNKED + "0_5\r\nhello\r\n0\r\n\r\n", [400]),
    "an_empty_chunk_size": (CHUNKED + "\r\nhello\r\n0\r\n\r\n", [400]),
    "a_space_before_the_chunk_size": (CHUNKED + " 5\r\nhello\r\n0\r\n\r\n", [400]),
    "a_chunk_size_beyond_all_numbers": (CHUNKED + "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n", [400, 413]),
    "a_chunk_size_near_the_end_of_numbers": (CHUNKED + "FFFFFFFFFFFFFFFE\r\nhello\r\n0\r\n\r\n", [400, 413]),
    "bare_lf_after_the_chunk_size": (CHUNKED + "5\nhello\r\n0\r\n\r\n", [400]),
    "bare_cr_after_the_chunk_size": (CHUNKED + "5\rhello\r\n0\r\n\r\n", [400]),
    "a_chunk_longer_than_its_size": (CHUNKED + "5\r\nhello!\r\n0\r\n\r\n", [400]),
    "bare_lf_after_a_chunk": (CHUNKED + "5\r\nhello\n0\r\n\r\n", [400]),
    "a_bare_cr_in_an_extension": (CHUNKED + "5;a\rb\r\nhello\r\n0\r\n\r\n", [400]),
    "a_bare_lf_in_an_extension": (CHUNKED + "5;a\nb\r\nhello\r\n0\r\n\r\n", [400]),
    "an_endless_extension": (CHUNKED + "5;" + "a" * 100_000 + "\r\nhello\r\n0\r\n\r\n", [400, 431]),
    "bare_lf_after_the_last_chunk": (CHUNKED + "5\r\nhello\r\n0\n\r\n", [400]),
    "bare_lf_at_the_end_of_the_trailers": (CHUNKED + "5\r\nhello\r\n0\r\n\n", [400]),
    "a_bad_trailer": (CHUNKED + "5\r\nhello\r\n0\r\nX : y\r\n\r\n", [400]),
    "a_folded_trailer": (CHUNKED + "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", [400]),
}
SMUGGLED = "GET /count-me?name=smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def kitchen(serve_all):
    return serve_all("kitchen")


@pytest.mark.parametrize("name", REQUESTS)
def test_refused(kitchen, name):
    request, statuses = REQUESTS[name]
    with kitchen.connect() as connection:
        try:
            connection.send(request.encode("latin-1") + SMUGGLED.encode())
        except OSError:
            pass
        response = connection.response()
        assert response.status in statuses, response
        assert response["Connection"] == "close"
        assert b"smuggled" not in response.body
        assert connection.is_closed()
    assert kitchen.json("/counters").get("smuggled", 0) == 0


@pytest.mark.parametrize("name", [name for name in REQUESTS if name not in ("a_tls_handshake",)])
def test_refused_even_when_it_comes_in_two_pieces(kitchen, name):
    request, statuses = REQUESTS[name]
    data = request.encode("latin-1")
    with kitchen.connect() as connection:
        try:
            connection.send(data[: len(data) // 2])
            time.sleep(0.02)
            connection.send(data[len(data) // 2 :] + SMUGGLED.encode())
        except OSError:
            pass
        assert connection.response().status in statuses
        assert connection.is_closed()


def test_a_refusal_is_a_small_page_and_a_line_in_the_log(serve):
    server = serve("kitchen", "--log-level", "debug")
    with server.connect() as connection:
        connection.send("GET /hello HTTP/1.1\r\nX : y\r\n\r\n")
        response = connection.response()
    assert response.status == 400
    assert response["Content-Type"].startswith("text/html")
    assert b"400" in response.body and len(response.body) < 2000
    server.wait_for_log(r"(?i)colon.*127\.0\.0\.1|127\.0\.0\.1.*colon")


def test_what_is_refused_stands_in_the_access_log(serve):
    server = serve("kitchen", "--access-logfile", "-")
    with server.connect() as connection:
        connection.send("GET /hello HTTP/1.1\r\n\r\n").response()
    from harness import until

    until(lambda: '" 400 ' in server.stdout, "the line")


def test_after_all_that_the_server_is_well(kitchen):
    assert kitchen.get("/hello").text == "Hello"
    assert "panicked" not in kitchen.log
