"""The course book: the notebooks, the methods and the library as one local web site.

Sphinx with myst-nb and a book theme makes the pages; this room prepares what they are
made of, so that nothing in it runs, loads or names a folder of this machine:

* `chapters` turns each notebook into a chapter, with its `pictures`, what is `movable`
  of them and what it has `judged`;
* `front`, `method_chapters`, `manual` and `lookups` write the pages around them, with
  `papers` for who wrote what and `inert` for text that stays text;
* `binding` calls Sphinx (`conf`, `plugin`, `static/`), `hanging` puts its pages into
  `site/`.
"""
