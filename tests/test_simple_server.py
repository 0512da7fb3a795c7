"""`daemun.simple_server` beside `wsgiref.simple_server`: the same calls, the same results."""

import json
import subprocess

import pytest
from harness import APPS, Connection, environment, python_program

SERVERS = ["daemun.simple_server", "wsgiref.simple_server"]


def python(code: str, *, ends: bool = True, module: str = "daemun.simple_server"):
    """Run code in the interpreter that has Daemun, with what is common to these tests before it."""
    prelude = (
        f"import json, sys, threading, time, urllib.request\nfrom {module} import make_server, WSGIServer, WSGIRequestHandler, demo_app\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [b'Hello ' + environ['PATH_INFO'].encode()]\n"
        "def get(port, path='/'):\n"
        "    return urllib.request.urlopen(f'http://127.0.0.1:{port}{path}', timeout=15).read().decode()\n"
    )
    return subprocess.run(
        python_program("-c", prelude + code), cwd=APPS, env=environment(), capture_output=True, text=True, timeout=60
    )


def output(code: str, module: str = "daemun.simple_server") -> str:
    result = python(code, module=module)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


both = pytest.mark.parametrize("module", SERVERS)


@both
def test_it_serves_until_shutdown(module):
    assert output("""
httpd = make_server('127.0.0.1', 0, app)
thread = threading.Thread(target=httpd.serve_forever)
thread.start()
print(get(httpd.server_port), get(httpd.server_port, '/two'))
httpd.shutdown()
thread.join(10)
print(thread.is_alive())
httpd.server_close()
""", module).split() == ["Hello", "/", "Hello", "/two", "False"]


@both
def test_handle_request_answers_one_and_returns(module):
    assert output("""
httpd = make_server('127.0.0.1', 0, app)
answers = []
thread = threading.Thread(target=lambda: answers.append(get(httpd.server_port, '/once')))
thread.start()
httpd.handle_request()
thread.join(10)
print(answers)
""", module) == "['Hello /once']"


@both
def test_several_requests_in_turn(module):
    assert output("""
httpd = make_server('127.0.0.1', 0, app)
answers = []
def client():
    for number in range(3):
        answers.append(get(httpd.server_port, f'/{number}'))
thread = threading.Thread(target=client)
thread.start()
for _ in range(3):
    httpd.handle_request()
thread.join(10)
print(answers)
""", module) == "['Hello /0', 'Hello /1', 'Hello /2']"


@both
def test_it_is_a_context_manager(module):
    assert output("""
with make_server('127.0.0.1', 0, app) as httpd:
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    print(get(httpd.server_port))
    httpd.shutdown()
    thread.join(10)
import socket
try:
    socket.create_connection(('127.0.0.1', httpd.server_port), 2)
    print('open')
except OSError:
    print('closed')
""", module).splitlines() == ["Hello /", "closed"]


@both
def test_the_empty_host_is_every_address(module):
    assert output("""
httpd = make_server('', 0, app)
print(httpd.server_address[0], httpd.server_port == httpd.server_address[1] > 0)
""", module) == "0.0.0.0 True"


@both
def test_the_application_can_be_changed(module):
    assert output("""
httpd = make_server('127.0.0.1', 0, app)
print(httpd.get_app() is app)
def other(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'other']
httpd.set_app(other)
thread = threading.Thread(target=httpd.serve_forever, daemon=True)
thread.start()
print(get(httpd.server_port))
httpd.shutdown()
""", module).split() == ["True", "other"]


@both
def test_the_demo_application(module):
    assert "REQUEST_METHOD = 'GET'" in output("""
httpd = make_server('127.0.0.1', 0, demo_app)
threading.Thread(target=httpd.serve_forever, daemon=True).start()
print(get(httpd.server_port))
httpd.shutdown()
""", module)


@both
def test_a_server_class_of_ones_own(module):
    assert output("""
class Own(WSGIServer):
    def set_app(self, application):
        super().set_app(lambda environ, start_response: application(environ, start_response))
        self.mark = 'own'
httpd = make_server('127.0.0.1', 0, app, server_class=Own)
print(httpd.mark, isinstance(httpd, Own))
""", module) == "own True"


@both
def test_a_quiet_handler_class_logs_nothing(module):
    result = python("""
class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass
httpd = make_server('127.0.0.1', 0, app, handler_class=Quiet)
threading.Thread(target=httpd.serve_forever, daemon=True).start()
get(httpd.server_port)
httpd.shutdown()
""", module=module)
    assert (result.returncode, result.stderr) == (0, "")


@both
def test_requests_are_logged_to_standard_error(module):
    result = python("""
httpd = make_server('127.0.0.1', 0, app)
threading.Thread(target=httpd.serve_forever, daemon=True).start()
get(httpd.server_port, '/logged')
httpd.shutdown()
""", module=module)
    assert '"GET /logged HTTP/1.1" 200' in result.stderr


@both
def test_an_exception_is_500_and_the_server_goes_on(module):
    assert output("""
def failing(environ, start_response):
    if environ['PATH_INFO'] == '/fail':
        raise RuntimeError('broken')
    return app(environ, start_response)
httpd = make_server('127.0.0.1', 0, failing)
threading.Thread(target=httpd.serve_forever, daemon=True).start()
try:
    get(httpd.server_port, '/fail')
except urllib.error.HTTPError as error:
    print(error.code)
print(get(httpd.server_port))
httpd.shutdown()
""", module).splitlines() == ["500", "Hello /"]


@both
def test_an_address_in_use_is_an_os_error(module):
    assert output("""
import socket
with socket.create_server(('127.0.0.1', 0)) as taken:
    try:
        make_server('127.0.0.1', taken.getsockname()[1], app)
    except OSError as error:
        import errno
        print(error.errno == errno.EADDRINUSE)
""", module) == "True"


@both
def test_control_c_ends_it(module):
    assert output("""
import os, signal
httpd = make_server('127.0.0.1', 0, app)
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    httpd.serve_forever()
except KeyboardInterrupt:
    print('interrupted')
httpd.server_close()
""", module) == "interrupted"


@both
def test_it_can_serve_again_after_shutdown(module):
    assert output("""
httpd = make_server('127.0.0.1', 0, app)
for _ in range(2):
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    print(get(httpd.server_port))
    httpd.shutdown()
    thread.join(10)
""", module).splitlines() == ["Hello /", "Hello /"]


def test_other_threads_run_while_it_serves():
    assert output("""
httpd = make_server('127.0.0.1', 0, app)
threading.Thread(target=httpd.serve_forever, daemon=True).start()
begin = time.monotonic()
for _ in range(100):
    get(httpd.server_port)
print(time.monotonic() - begin < 20)
httpd.shutdown()
""") == "True"


def test_shutdown_before_serving_is_no_deadlock():
    assert output("""
httpd = make_server('127.0.0.1', 0, app)
httpd.shutdown()
httpd.serve_forever()
print('returned')
httpd.server_close()
httpd.server_close()
""") == "returned"


def test_it_passes_the_validator():
    assert output("""
from wsgiref.validate import validator
httpd = make_server('127.0.0.1', 0, validator(app))
threading.Thread(target=httpd.serve_forever, daemon=True).start()
print(get(httpd.server_port))
httpd.shutdown()
""") == "Hello /"


def test_values_for_every_environ_can_be_given():
    assert output("""
def shows(environ, start_response):
    start_response('200 OK', [])
    return [environ['my.value'].encode()]
httpd = make_server('127.0.0.1', 0, shows)
httpd.base_environ['my.value'] = 'given'
threading.Thread(target=httpd.serve_forever, daemon=True).start()
print(get(httpd.server_port))
httpd.shutdown()
""") == "given"


def test_the_documented_three_lines_work():
    code = (
        "from daemun.simple_server import make_server\nfrom hello import application\n"
        "httpd = make_server('', 0, application)\nprint(httpd.server_port, flush=True)\nhttpd.serve_forever()\n"
    )
    process = subprocess.Popen(python_program("-c", code), cwd=APPS, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = int(process.stdout.readline())
        with Connection(("127.0.0.1", port)) as connection:
            assert connection.request().response().text == "Hello"
            assert connection.request().response().text == "Hello"
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def test_several_clients_at_once():
    results = json.loads(output("""
httpd = make_server('127.0.0.1', 0, app)
threading.Thread(target=httpd.serve_forever, daemon=True).start()
answers = []
threads = [threading.Thread(target=lambda: answers.append(get(httpd.server_port))) for _ in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
httpd.shutdown()
print(json.dumps(answers))
"""))
    assert results == ["Hello /"] * 20
