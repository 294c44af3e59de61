"""The servers, as their clients see them: well-behaved ones, slow ones, and those that send nonsense."""

import argparse
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import time
import unittest

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
HELLO = b"Hello, world!\n"
NUMBERS = b"".join(b"%d\n" % i for i in range(1, 100_001))


class ServerTest(unittest.TestCase):
    def start(self, program):
        server = subprocess.Popen([*emulator, programs / program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.stop, server)
        self.port = int(server.stdout.readline())

    def stop(self, server):
        server.send_signal(signal.SIGTERM)
        _, complaints = server.communicate(timeout=60)
        self.assertEqual((server.returncode, complaints), (0, ""))

    def connect(self):
        client = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self.addCleanup(client.close)
        return client


class EchoTest(ServerTest):
    def setUp(self):
        self.start("echo_server")

    def test_what_is_sent_comes_back(self):
        clients = [self.connect() for _ in range(50)]
        for i, client in enumerate(clients):
            client.sendall(b"this is %d" % i)
        for i, client in enumerate(clients):
            expected = b"this is %d" % i
            self.assertEqual(client.recv(len(expected), socket.MSG_WAITALL), expected)

    def test_client_that_reads_late_gets_all(self):
        client = self.connect()
        much = bytes(range(256)) * 400
        client.setblocking(False)
        sent = 0
        while sent < len(much):
            try:
                sent += client.send(much[sent:])
            except BlockingIOError:
                break
        client.setblocking(True)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(client.makefile("rb").read(), much[:sent])


class HttpCases:
    """What both HTTP servers have to do."""

    def setUp(self):
        self.start(self.program)

    def answer(self, stream, *, with_content=True):
        """(status, fields, content) of the next answer."""
        status = stream.readline().decode()
        self.assertRegex(status, r"^HTTP/1\.1 \d{3} [A-Z][A-Za-z ]*\r\n$")
        fields = {}
        while (line := stream.readline()) != b"\r\n":
            name, value = line.decode().rstrip("\r\n").split(": ", 1)
            fields[name.lower()] = value
        self.assertRegex(fields["date"], r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")
        content = stream.read(int(fields["content-length"])) if with_content else b""
        return int(status.split()[1]), fields, content

    def ask(self, request, **options):
        """The same for a request on a connection of its own, and whether the server keeps the connection."""
        client = self.connect()
        client.sendall(request)
        stream = client.makefile("rb")
        result = self.answer(stream, **options)
        keeps = result[1]["connection"] == "keep-alive"
        if keeps:
            client.sendall(GET)
            self.assertEqual(self.answer(stream)[0], 200)
        else:
            self.assertEqual(stream.read(), b"")
        return *result, keeps

    def test_page(self):
        status, fields, content, keeps = self.ask(GET)
        self.assertEqual((status, content, keeps), (200, HELLO, True))
        self.assertEqual(fields["content-type"], "text/plain")
        self.assertEqual(self.ask(b"GET /?query HTTP/1.1\r\nhOST: here\r\n\r\n")[0], 200)

    def test_head_has_no_content(self):
        status, fields, _, keeps = self.ask(b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n", with_content=False)
        self.assertEqual((status, int(fields["content-length"]), keeps), (200, len(HELLO), True))

    def test_unknown_page(self):
        status, _, _, keeps = self.ask(b"GET /missing HTTP/1.1\r\nHost: here\r\n\r\n")
        self.assertEqual((status, keeps), (404, True))

    def test_other_methods_are_refused_and_their_content_is_skipped(self):
        status, fields, _, keeps = self.ask(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nGET /")
        self.assertEqual((status, fields["allow"], keeps), (405, "GET, HEAD", True))
        chunked = b"PUT / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n"
        self.assertEqual(self.ask(chunked)[0], 405)

    def test_connection_is_closed_on_request(self):
        status, _, _, keeps = self.ask(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n" + GET)
        self.assertEqual((status, keeps), (200, False))

    def test_older_clients_are_answered_and_closed_unless_they_ask_to_stay(self):
        self.assertEqual(self.ask(b"GET / HTTP/1.0\r\n\r\n")[::3], (200, False))
        self.assertEqual(self.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")[::3], (200, True))

    def test_nonsense_is_refused_and_the_connection_closed(self):
        for request in [
            b"\0\xff\0\xff" * 100,
            b"GET\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost here\r\n\r\n",
            b"GET / FTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/2.0\r\nHost: here\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: here\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        ]:
            with self.subTest(request=request[:60]):
                self.assertEqual(self.ask(request)[::3], (400, False))

    def test_wish_for_another_protocol_ends_the_connection(self):
        request = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        self.assertEqual(self.ask(request)[::3], (200, False))

    def test_pipelined_requests_are_answered_in_their_order(self):
        client = self.connect()
        missing = GET.replace(b"/ ", b"/missing ")
        client.sendall((GET + missing) * 100)
        stream = client.makefile("rb")
        for _ in range(100):
            self.assertEqual([self.answer(stream)[0] for _ in range(2)], [200, 404])

    def test_request_that_comes_byte_by_byte(self):
        client, other = self.connect(), self.connect()
        for byte in GET:
            client.sendall(bytes([byte]))
            time.sleep(0.001)
        other.sendall(GET)
        self.assertEqual(self.answer(other.makefile("rb"))[2], HELLO)
        self.assertEqual(self.answer(client.makefile("rb"))[2], HELLO)

    def test_client_that_reads_slowly_does_not_hold_up_others(self):
        slow = self.connect()
        for _ in range(20):
            slow.sendall(GET.replace(b"/ ", b"/numbers "))
        self.assertEqual(self.ask(GET)[0], 200)
        stream = slow.makefile("rb")
        for _ in range(20):
            self.assertEqual(self.answer(stream)[2], NUMBERS)

    def test_clients_that_go_away_harm_nobody(self):
        for request in [b"", b"GET / HT", GET.replace(b"/ ", b"/numbers ")]:
            client = self.connect()
            client.sendall(request)
            client.close()
        self.assertEqual(self.ask(GET)[0], 200)

    def test_many_connections_stay_open(self):
        clients = [self.connect() for _ in range(200)]
        for client in clients + clients:
            client.sendall(GET)
            self.assertEqual(self.answer(client.makefile("rb"))[2], HELLO)


class HttpTest(HttpCases, ServerTest):
    program = "http_server"


class HttpEpollTest(HttpCases, ServerTest):
    program = "http_server_epoll"


class UsageTest(unittest.TestCase):
    def test_other_arguments_are_refused(self):
        for arguments in [["--port"], ["--port", "x"], ["--port", "65536"], ["--help"]]:
            done = subprocess.run([*emulator, programs / "http_server", *arguments], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertIn("usage: ", done.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--emulator", default="")
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    options, rest = parser.parse_known_args()
    emulator, programs = shlex.split(options.emulator), options.programs.resolve()
    unittest.main(argv=[sys.argv[0], *rest])
