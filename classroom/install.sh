#!/bin/sh
# Installs "Stable Diffusion, taken apart" from this folder, without a network. Start it by: sh install.sh
# Everything goes to ~/sd-taken-apart; delete that folder to be rid of it.
set -e
here=$(cd "$(dirname "$0")" && pwd)
there="$HOME/sd-taken-apart"

found=""
for version in @VERSIONS@; do
    for python in "python$version" python3 python; do
        if [ -z "$found" ] && [ "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$version" ]; then
            found=$python
        fi
    done
done
if [ -z "$found" ]; then
    echo "Python @OR@ is needed, and was not found. Install it (python.org has it), then start this again."
    exit 1
fi

echo "Installing into $there, a minute or two ..."
"$found" -m venv "$there/.venv"
"$there/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$here/wheels" sd-helpers
for zip in "$here/student.zip" "$here/../student.zip"; do
    # What somebody has worked on already is not written over.
    if [ -f "$zip" ] && [ ! -e "$there/stable-diffusion-taken-apart" ]; then
        "$there/.venv/bin/python" -m zipfile -e "$zip" "$there"
    fi
done
mkdir -p "$there/stable-diffusion-taken-apart"
cat > "$there/start.sh" <<'START'
#!/bin/sh
cd "$(dirname "$0")/stable-diffusion-taken-apart" && exec ../.venv/bin/jupyter lab
START
echo "Done. Start it by: sh ~/sd-taken-apart/start.sh"
