@echo off
rem Installs "Stable Diffusion, taken apart" from this folder, without a network. Double-click it.
rem Everything goes to sd-taken-apart in your own folder; delete that folder to be rid of it.
setlocal
set "HERE=%~dp0"
set "THERE=%USERPROFILE%\sd-taken-apart"

set "FOUND="
for %%V in (@VERSIONS@) do (
    if not defined FOUND py -%%V --version >nul 2>nul && set "FOUND=%%V"
)
if not defined FOUND (
    echo Python @OR@ is needed, and was not found. Install it from python.org, then start this again.
    pause
    exit /b 1
)

echo Installing into %THERE%, a few minutes ...
py -%FOUND% -m venv "%THERE%\.venv" || goto :failed
"%THERE%\.venv\Scripts\python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "%HERE%wheels" sd-helpers || goto :failed
for %%Z in ("%HERE%student.zip" "%HERE%..\student.zip") do (
    if exist %%Z if not exist "%THERE%\stable-diffusion-taken-apart" "%THERE%\.venv\Scripts\python" -m zipfile -e %%Z "%THERE%"
)
if not exist "%THERE%\stable-diffusion-taken-apart" mkdir "%THERE%\stable-diffusion-taken-apart"
> "%THERE%\start.bat" echo @cd /d "%%~dp0stable-diffusion-taken-apart" ^&^& ..\.venv\Scripts\jupyter lab
echo Done. Start it by a double-click on start.bat in %THERE%
pause
exit /b 0

:failed
echo It did not work. What stands above says why.
pause
exit /b 1
