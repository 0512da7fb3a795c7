"""A notes board: `daemun app:app`."""

import time

from flask import Flask, Response, jsonify, redirect, render_template_string, request

PAGE = """<!doctype html>
<title>Notes</title>
<h1>Notes</h1>
<form method="post"><input name="text" autofocus><button>Add</button></form>
<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>
"""


def create_app(title="Notes"):
    app = Flask(__name__)
    notes = []  # in this process only: a real one would use a database

    @app.get("/")
    def index():
        return render_template_string(PAGE.replace("Notes", title), notes=notes)

    @app.post("/")
    def add():
        notes.append(request.form["text"])
        return redirect("/", code=303)

    @app.get("/notes.json")
    def as_json():
        return jsonify(notes=notes)

    @app.post("/echo")
    def echo():
        return Response(request.get_data(), mimetype=request.mimetype or "application/octet-stream")

    @app.get("/countdown")
    def countdown():
        def lines():
            for number in (3, 2, 1):
                yield f"{number}\n"
                time.sleep(0.1)
            yield "go\n"

        return Response(lines(), mimetype="text/plain")

    return app


app = create_app()
