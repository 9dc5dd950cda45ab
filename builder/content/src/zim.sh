# Shuts zim.py up with the tools and the pages, and nothing else: it reads what others wrote.
#
# zim.sh TOOLS WORK WORDS...
#   TOOLS     the tools tree, only read
#   WORK      has pages.tar, words.json, icon.png and zim.py; gets out.zim
#   WORDS     starts a program in the tree WORK/tree and nothing around it, with WORK/jail to mount on
set -eu
tools=$1 work=$2
shift 2

mkdir "$work/tree" "$work/jail" "$work/in" "$work/in/pages"
tar --extract --file "$work/pages.tar" --directory "$work/in/pages" --no-same-owner
mv "$work/words.json" "$work/icon.png" "$work/zim.py" "$work/in/"

mount --bind "$tools" "$work/tree"
mount -o remount,bind,ro,nosuid,nodev "$work/tree"
mount --bind "$work/in" "$work/tree/work"
mount -t proc proc "$work/tree/proc"

"$@" /usr/bin/python3 -I -B /work/zim.py /work/pages /work/words.json /work/icon.png /work/out.zim
mv "$work/in/out.zim" "$work/out.zim"
