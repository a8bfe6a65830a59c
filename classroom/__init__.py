"""The classroom kit: what a teacher needs to give the lessons to a class. Run from the repository root; see `guide.md`.

python -m classroom student student.zip
python -m classroom grade submissions -o grades.csv
python -m classroom wheelhouse windows stick
"""
