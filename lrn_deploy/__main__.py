"""``python -m lrn_deploy`` is ``lrn-deploy``."""

from lrn_deploy.cli import main

if __name__ == "__main__":
    main()
