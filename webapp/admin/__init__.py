"""The web admin at `/admin`: what an operator sees and does in a browser. A page a module.

`site` puts the pages together, `door` says who may enter, `skin` how a page is sent, `words` how values are written
for people; the HTML is in `templates/admin`. As in the API, a page decides nothing about a task: it calls
`transcode`, and shows what came. Flask-Admin's views would bring more than they take off these pages.
"""
